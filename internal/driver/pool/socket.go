//go:build unix

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// attemptSocket reads or writes a socket without blocking; errNoAttempt if fd is none.
func attemptSocket(r *driver.Request, fd int) (int, error) {
	if r.Off != driver.CurrentOffset {
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			return 0, unix.ESPIPE
		}
		return 0, errNoAttempt
	}
	var few [8][]byte
	bufs := rest(few[:0], r)
	var n int
	var err error
	if reads(r.Kind) {
		n, _, _, _, err = unix.RecvmsgBuffers(fd, bufs, nil, unix.MSG_DONTWAIT)
	} else {
		n, err = unix.SendmsgBuffers(fd, bufs, nil, nil, unix.MSG_DONTWAIT)
	}
	if err == unix.ENOTSOCK {
		return 0, errNoAttempt
	}
	return n, err
}
