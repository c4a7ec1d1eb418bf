//go:build unix && !(dragonfly || freebsd || linux)

package pool

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The lock keeps a fork from inheriting the socket before its flag is set.

func newSocket(domain, kind, protocol int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(domain, kind, protocol)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	return fd, err
}

// acceptFrom never blocks with the lock held: the driver has set O_NONBLOCK.
func acceptFrom(fd int) (int, unix.Sockaddr, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	conn, from, err := unix.Accept(fd)
	if err == nil {
		unix.CloseOnExec(conn)
	}
	return conn, from, err
}
