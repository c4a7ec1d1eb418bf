package rnet

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
)

// reuseAddress: SO_REUSEADDR would let others take the address of a listener that is open.
const reuseAddress = false

func setReusePort(ringport.Handle) error {
	return &ringport.OpError{Op: "setsockopt", Name: "socket", Err: errors.ErrUnsupported}
}

func setLinger(h ringport.Handle, seconds int) error {
	l := syscall.Linger{}
	if seconds >= 0 {
		l.Onoff, l.Linger = 1, int32(seconds)
	}
	return os.NewSyscallError("setsockopt", syscall.SetsockoptLinger(syscall.Handle(h), syscall.SOL_SOCKET, syscall.SO_LINGER, &l))
}

// The options came with Windows 10, version 1709.
const (
	keepIdle     = windows.TCP_KEEPIDLE
	keepInterval = windows.TCP_KEEPINTVL
	keepCount    = windows.TCP_KEEPCNT
)

// setKeepAliveTimes sets what is not negative.
func setKeepAliveTimes(h ringport.Handle, idle, interval time.Duration, count int) error {
	for _, o := range []struct{ name, value int }{
		{keepIdle, seconds(idle)}, {keepInterval, seconds(interval)}, {keepCount, count},
	} {
		if o.value < 0 {
			continue
		}
		if err := ringport.SetSocketOption(h, syscall.IPPROTO_TCP, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// setNonblock: what blocks on Windows is not the socket but the call.
func setNonblock(uintptr) error { return nil }

// portsAreShared: no port can have several listeners.
const portsAreShared = false

func closeSocket(h ringport.Handle) { windows.Closesocket(windows.Handle(h)) }
