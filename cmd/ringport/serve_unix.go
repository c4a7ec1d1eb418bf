//go:build unix

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

// openWithoutWaiting: a FIFO that has replaced a file is opened at once, and found out.
const openWithoutWaiting = syscall.O_NONBLOCK

// duplicate is another descriptor of f, which the caller owns.
func duplicate(f *os.File) (ringport.Handle, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd := -1
	if failed := raw.Control(func(h uintptr) { fd, err = unix.FcntlInt(h, unix.F_DUPFD_CLOEXEC, 0) }); failed != nil {
		return 0, failed
	}
	return ringport.Handle(fd), os.NewSyscallError("dup", err)
}

func closeDuplicate(h ringport.Handle) { unix.Close(int(h)) }
