//go:build unix

package main

import (
	"fmt"
	"os"
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

// handOver gives f to the process that cmd will start, and returns the descriptor it has there.
func handOver(cmd *exec.Cmd, f *os.File) uintptr {
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return uintptr(2 + len(cmd.ExtraFiles)) // after the three standard streams
}
