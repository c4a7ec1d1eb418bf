package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// fact is one line about the machine or the run.
type fact struct{ Name, Value string }

// machineFacts says what machine this is.
func machineFacts() []fact {
	facts := []fact{{"System", kernelVersion() + ", " + runtime.GOARCH}}
	cpu := strconv.Itoa(runtime.NumCPU())
	if model := cpuModel(); model != "" {
		cpu += " × " + model
	}
	return append(facts, fact{"Processors", cpu}, fact{"Ringport", version()})
}

// cpuModel is the processor's name where /proc has it.
func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// commandLine is how this process was started, quoted where a shell would need it.
func commandLine() string {
	words := append([]string{"ringport"}, os.Args[1:]...)
	for i, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
