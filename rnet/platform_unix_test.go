//go:build unix

package rnet

import "syscall"

// networks are those of streams that there are here.
var networks = []string{"tcp", "unix"}

const errReset = syscall.ECONNRESET
