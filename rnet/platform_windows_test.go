package rnet

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/win32"
)

var unixSockets = !win32.UnderWine()

// resolverSorts: Go's resolver can find out which addresses are nearest (RFC 6724), for which it needs package net's UDP,
// which sets an option that Wine doesn't know.
var resolverSorts = !win32.UnderWine()

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
func tryRead(h ringport.Handle, buf []byte) (n int, again bool, err error) {
	const fionread = 0x4004667f
	var there, answered uint32
	if err := windows.WSAIoctl(windows.Handle(h), fionread, nil, 0, (*byte)(unsafe.Pointer(&there)), 4, &answered, nil, 0); err != nil {
		return 0, false, err
	}
	if there == 0 {
		return 0, true, nil
	}
	b := windows.WSABuf{Len: uint32(len(buf)), Buf: unsafe.SliceData(buf)}
	var got, flags uint32
	err = windows.WSARecv(windows.Handle(h), &b, 1, &got, &flags, nil, nil)
	return int(got), false, err
}

func writeTo(h ringport.Handle, p []byte) (int, error) {
	b := windows.WSABuf{Len: uint32(len(p)), Buf: unsafe.SliceData(p)}
	var sent uint32
	err := windows.WSASend(windows.Handle(h), &b, 1, &sent, 0, nil, nil)
	return int(sent), err
}
