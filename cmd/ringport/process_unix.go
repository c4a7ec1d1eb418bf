//go:build unix

package main

import (
	"fmt"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the processor time of this process, user and system, all threads. See getrusage(2).
func cpuTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// engineFile is the descriptor that an engine's process begins with.
type engineFile struct{ Handle uintptr }

// handOver gives the file to the process that cmd will start.
func (b *benchFile) handOver(cmd *exec.Cmd) engineFile {
	cmd.ExtraFiles = append(cmd.ExtraFiles, b.f)
	return engineFile{uintptr(2 + len(cmd.ExtraFiles))} // after the three standard streams
}

// open returns the descriptor, which is good for every engine.
func (f engineFile) open(bool) (uintptr, error) { return f.Handle, nil }
