//go:build unix

package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe makes a pipe, of which the child writes (childWrites) or reads the one end, and this process has the other.
func Pipe(childWrites bool) (ours Handle, childs *os.File, err error) {
	var p [2]int
	syscall.ForkLock.RLock() // not every system can make them close-on-exec
	if err = syscall.Pipe(p[:]); err == nil {
		syscall.CloseOnExec(p[0])
		syscall.CloseOnExec(p[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, os.NewSyscallError("pipe", err)
	}
	if childWrites {
		return Handle(p[0]), os.NewFile(uintptr(p[1]), "pipe"), nil
	}
	return Handle(p[1]), os.NewFile(uintptr(p[0]), "pipe"), nil
}

// Ready reports whether a read of h, the end of a pipe that nobody else reads, returns at once.
func Ready(h Handle) bool {
	fds := [1]unix.PollFd{{Fd: int32(h), Events: unix.POLLIN}}
	n, err := 0, error(unix.EINTR)
	for err == unix.EINTR {
		n, err = unix.Poll(fds[:], 0)
	}
	return n > 0
}

// Over reports whether the process is over.
func (x *Exit) Over() bool { return Ready(x.Handle) }

// Inheritable is h as a file that a child can have; the caller closes it.
func Inheritable(h Handle, name string) (f *os.File, ok bool, err error) {
	fd, err := unix.FcntlInt(uintptr(h), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, false, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), name), true, nil
}
