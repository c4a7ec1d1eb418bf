//go:build unix

package rnet

import "syscall"

// networks are those of streams that there are here.
var networks = []string{"tcp", "unix"}

// packetNetworks are those of messages.
var packetNetworks = []string{"udp4", "udp6", "unixgram"}

const (
	errReset  = syscall.ECONNRESET
	errNoPeer = syscall.EDESTADDRREQ // a message to nobody
	msgTrunc  = syscall.MSG_TRUNC
)
