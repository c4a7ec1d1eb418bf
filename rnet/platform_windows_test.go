package rnet

import (
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
)

// networks are those of streams that there are here: Wine has no Unix sockets.
var networks = func() []string {
	if win32.UnderWine() {
		return []string{"tcp"}
	}
	return []string{"tcp", "unix"}
}()

// packetNetworks are those of messages: Unix sockets have none here.
var packetNetworks = []string{"udp4", "udp6"}

const (
	errReset  = syscall.WSAECONNRESET
	errNoPeer = windows.WSAENOTCONN // a message to nobody
	msgTrunc  = windows.MSG_TRUNC
)
