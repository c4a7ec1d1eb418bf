//go:build unix

package rnet

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

// reuseAddress: a listener can have the address of one that was closed a moment ago (SO_REUSEADDR).
const reuseAddress = true

func setReusePort(h ringport.Handle) error {
	return ringport.SetSocketOption(h, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

func setLinger(h ringport.Handle, seconds int) error {
	l := unix.Linger{}
	if seconds >= 0 {
		l.Onoff, l.Linger = 1, int32(seconds)
	}
	if err := unix.SetsockoptLinger(int(h), unix.SOL_SOCKET, unix.SO_LINGER, &l); err != nil {
		return &ringport.OpError{Op: "setsockopt", Name: "socket", Err: err}
	}
	return nil
}

// setKeepAliveTimes sets what is not negative.
func setKeepAliveTimes(h ringport.Handle, idle, interval time.Duration, count int) error {
	for _, o := range []struct{ name, value int }{{keepIdle, seconds(idle)}, {keepInterval, seconds(interval)}, {keepCount, count}} {
		if o.value < 0 {
			continue
		}
		if o.name == 0 {
			return &ringport.OpError{Op: "setsockopt", Name: "socket", Err: syscall.EOPNOTSUPP}
		}
		if err := ringport.SetSocketOption(h, unix.IPPROTO_TCP, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

func setNonblock(fd uintptr) error { return syscall.SetNonblock(int(fd), true) }

// portsAreShared: the system divides connections among the listeners of a port (SO_REUSEPORT). Others give them to the last one.
const portsAreShared = runtime.GOOS == "linux"

func closeSocket(h ringport.Handle) { unix.Close(int(h)) }
