package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// cpuTime is the processor time of this process, user and kernel, all threads. See GetProcessTimes.
func cpuTime() (time.Duration, error) {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0, fmt.Errorf("GetCurrentProcess: %w", err)
	}
	var created, ended, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(self, &created, &ended, &kernel, &user); err != nil {
		return 0, fmt.Errorf("GetProcessTimes: %w", err)
	}
	ticks := func(t syscall.Filetime) int64 { return int64(t.HighDateTime)<<32 | int64(t.LowDateTime) }
	return time.Duration(100 * (ticks(kernel) + ticks(user))), nil // a tick is 100 ns
}

// engineFile says how an engine opens the file. It does so by itself, since a file is open for either synchronous or overlapped transfers,
// and belongs to one completion port at most, through all handles that are duplicated or inherited.
type engineFile struct {
	Path   string
	Write  bool
	Direct bool
}

// handOver says what the process that cmd will start has to open.
func (b *benchFile) handOver(*exec.Cmd) engineFile {
	return engineFile{b.path, b.flags&os.O_RDWR != 0, b.direct}
}

// open opens the file as an engine needs it.
func (f engineFile) open(overlapped bool) (uintptr, error) {
	flags := os.O_RDONLY
	if f.Write {
		flags = os.O_RDWR
	}
	if f.Direct {
		flags |= windows.O_FILE_FLAG_NO_BUFFERING
	}
	if overlapped {
		flags |= windows.O_FILE_FLAG_OVERLAPPED
	}
	h, err := openHandle(f.Path, flags)
	return uintptr(h), err
}
