package rnet

import (
	"context"
	"errors"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/win32"
)

var unixSockets = !win32.UnderWine()

// netUDP: package net has UDP. It sets an option that Wine doesn't know.
var netUDP = !win32.UnderWine()

// resetsGetLost: Wine's server may ask for a socket's error first, and the read after that finds the end (recv(2)).
var resetsGetLost = win32.UnderWine()

// streamNetworks are those that have connections.
var streamNetworks = func() []string {
	if unixSockets {
		return []string{"tcp4", "tcp6", "unix"}
	}
	return []string{"tcp4", "tcp6"}
}()

// packetNetworks are those of messages: Unix sockets have none here.
var packetNetworks = []string{"udp4", "udp6"}

const (
	errReset     = syscall.WSAECONNRESET
	errRefused   = windows.WSAECONNREFUSED
	errPipe      = windows.WSAESHUTDOWN
	errNoPeer    = windows.WSAENOTCONN // a message to nobody
	errAddrInUse = windows.WSAEADDRINUSE
	msgTrunc     = windows.MSG_TRUNC
	portsShared  = false
)

// tryRead receives if that need not wait.
func tryRead(m *ringport.Manager, h ringport.Handle, buf []byte) (n int, again bool, err error) {
	op := ringport.Recv(h, buf, ringport.DontWait)
	n, err = m.Do(context.Background(), &op)
	return n, errors.Is(err, windows.WSAEWOULDBLOCK), err
}

func writeTo(m *ringport.Manager, h ringport.Handle, p []byte) (int, error) {
	op := ringport.Send(h, p, 0)
	return m.Do(context.Background(), &op)
}
