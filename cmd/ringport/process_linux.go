package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

// threadCount is how many threads this process has, those of the kernel's io_uring workers included. See proc(5).
func threadCount() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(status, []byte("\nThreads:"))
	if !found {
		return 0, errors.New("/proc/self/status has no line Threads")
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.Atoi(string(bytes.TrimSpace(line)))
}
