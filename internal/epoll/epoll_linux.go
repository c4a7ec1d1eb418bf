// Package epoll waits for descriptors by epoll(7), in the Go runtime's own poller: a wait costs a goroutine but no thread.
package epoll

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Instance is an epoll instance. One goroutine at a time may wait.
type Instance struct {
	fd   int
	file *os.File
	conn syscall.RawConn

	look   func(fd uintptr) bool // made once: a new one a wait would be an allocation
	events []unix.EpollEvent     // of the wait under way
	n      int
}

// Open makes an instance. See epoll_create1(2).
func Open() (*Instance, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// os.NewFile hands only non-blocking descriptors to the runtime's poller. The flag means nothing to epoll.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	e := &Instance{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	e.look = func(uintptr) bool {
		n, err := unix.EpollWait(e.fd, e.events, 0)
		e.n = max(n, 0)
		return n > 0 || err == unix.EINTR
	}
	if e.conn, err = e.file.SyscallConn(); err != nil {
		e.file.Close()
		return nil, err
	}
	return e, nil
}

// Control adds, changes or removes a registration: op is EPOLL_CTL_ADD, _MOD or _DEL. It is for any goroutine, but not after Close. See
// epoll_ctl(2).
func (e *Instance) Control(op, fd int, events uint32) error {
	return unix.EpollCtl(e.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Wait stores in events what has happened, waits for it if need be, and returns how many there are, 0 now and then. Ok is false after Close,
// which ends a wait.
func (e *Instance) Wait(events []unix.EpollEvent) (n int, ok bool) {
	e.events, e.n = events, 0
	ok = e.conn.Read(e.look) == nil
	return e.n, ok
}

// Close ends the instance with all its registrations.
func (e *Instance) Close() error { return e.file.Close() }
