//go:build unix

package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelVersion is the system's name and release. See uname(2).
func kernelVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOOS
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// cpuModel is the processor's name where /proc has it.
func cpuModel() string { return procField("/proc/cpuinfo", "model name") }

// memoryBytes is how much memory the system has, where /proc says that.
func memoryBytes() int64 {
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

// procField is the first value of that name in a file of /proc, empty if it is not there.
func procField(file, name string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if field, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(field) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// quoteWord is a word of a command line, quoted if a shell would take it for something else.
func quoteWord(w string) string {
	if w == "" || strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
		return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return w
}

// systemNote is what to mind about figures of this system.
func systemNote() string { return "" }
