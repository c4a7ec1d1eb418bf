//go:build unix

package rnet

import (
	"runtime"
	"syscall"

	"github.com/ringport/ringport"
)

const unixSockets = true

// netUDP: package net has UDP.
const netUDP = true

// resetsGetLost: a reset may be taken for the end.
const resetsGetLost = false

// streamNetworks are those that have connections.
var streamNetworks = func() []string {
	all := []string{"tcp4", "tcp6", "unix"}
	if runtime.GOOS == "linux" {
		all = append(all, "unixpacket")
	}
	return all
}()

// packetNetworks are those of messages.
var packetNetworks = []string{"udp4", "udp6", "unixgram"}

const (
	errReset     = syscall.ECONNRESET
	errRefused   = syscall.ECONNREFUSED
	errPipe      = syscall.EPIPE
	errNoPeer    = syscall.EDESTADDRREQ // a message to nobody
	errAddrInUse = syscall.EADDRINUSE
	msgTrunc     = syscall.MSG_TRUNC
	portsShared  = true // several sockets can listen at one address
)

// tryRead is recv(2) of a socket that is not to block.
func tryRead(_ *ringport.Manager, h ringport.Handle, buf []byte) (n int, again bool, err error) {
	n, err = syscall.Read(int(h), buf)
	return n, err == syscall.EAGAIN, err
}

func writeTo(_ *ringport.Manager, h ringport.Handle, p []byte) (int, error) {
	return syscall.Write(int(h), p)
}
