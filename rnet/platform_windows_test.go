package rnet

import (
	"syscall"

	"github.com/ringport/ringport/internal/win32"
)

// networks are those of streams that there are here: Wine has no Unix sockets.
var networks = func() []string {
	if win32.UnderWine() {
		return []string{"tcp"}
	}
	return []string{"tcp", "unix"}
}()

const errReset = syscall.WSAECONNRESET
