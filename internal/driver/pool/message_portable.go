//go:build unix && (!linux || portable)

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// moveMessage is recvmsg(2) or sendmsg(2) of what r has still to move, and of what belongs to its message.
func moveMessage(r *driver.Request, fd, flags int) (int, error) {
	var few [8][]byte
	bufs := rest(few[:0], r)
	of := messageOf(r)
	switch {
	case r.Kind.Reads():
		n, control, got, from, err := unix.RecvmsgBuffers(fd, bufs, of.Control, flags)
		if err != nil {
			return 0, err // n is -1
		}
		if of != &noMessage {
			of.ControlBytes, of.Flags = control, uint32(got)
			if of.Address != nil {
				SetAddress(of.Address, from)
			}
		}
		return n, nil
	case r.N > 0: // the rest of a stream
		return unix.SendmsgBuffers(fd, bufs, nil, nil, flags)
	}
	to, err := sockaddr(of.Address)
	if err != nil {
		return 0, err
	}
	return unix.SendmsgBuffers(fd, bufs, of.Control, to, flags)
}
