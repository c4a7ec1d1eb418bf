package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
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
	facts = append(facts, fact{"Processors", cpu})
	if n := memoryBytes(); n > 0 {
		facts = append(facts, fact{"Memory", humanize.IBytes(uint64(n))})
	}
	return append(facts, fact{"Ringport", version()})
}

// commandLine is how this process was started, quoted where that is needed.
func commandLine() string {
	words := []string{"ringport"}
	for _, w := range os.Args[1:] {
		words = append(words, quoteWord(w))
	}
	return strings.Join(words, " ")
}
