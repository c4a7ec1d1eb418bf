//go:build dragonfly || freebsd || linux

package pool

import "golang.org/x/sys/unix"

func newSocket(domain, kind, protocol int) (int, error) {
	return unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
}

func acceptFrom(fd int) (int, unix.Sockaddr, error) { return unix.Accept4(fd, unix.SOCK_CLOEXEC) }
