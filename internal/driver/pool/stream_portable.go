//go:build unix && (!linux || portable)

package pool

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// attemptTransfer makes one call that does not block: on sockets only. For all others it finds out what the call would refuse
// at once, without waiting for readiness first.
func attemptTransfer(r *driver.Request, fd int) (int, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, err
	}
	if mode := flags & unix.O_ACCMODE; r.Kind.Reads() && mode == unix.O_WRONLY || !r.Kind.Reads() && mode == unix.O_RDONLY {
		return 0, unix.EBADF
	}
	if r.Off != driver.CurrentOffset {
		if _, err := unix.Seek(fd, 0, io.SeekCurrent); err != nil {
			return 0, err
		}
	}
	if !r.Kind.Reads() && !sendsWithoutBlocking {
		return 0, errNoAttempt
	}
	return attemptSocket(r, fd)
}

// transferInterruptibly makes calls that block only if a competitor is faster. They can't be interrupted here.
func (d *Driver) transferInterruptibly(r *driver.Request, fd int) (int, error) {
	if r.Kind.Reads() {
		return readWhileReady(r, fd)
	}
	return writePiece(r, fd)
}

// readWhileReady fills one buffer after the other, as long as there is something for the next.
func readWhileReady(r *driver.Request, fd int) (total int, err error) {
	for _, b := range rest(nil, r) {
		if total > 0 && pollNow(fd, unix.POLLIN) == 0 {
			break
		}
		var n int
		if r.Off == driver.CurrentOffset {
			n, err = unix.Read(fd, b)
		} else {
			n, err = unix.Pread(fd, b, r.Off+int64(total))
		}
		if err != nil && total > 0 {
			return total, nil // it will come again
		}
		if err != nil {
			return 0, err
		}
		if total += n; n < len(b) {
			break
		}
	}
	return total, nil
}

// writePiece writes as much as fits when fd polls writable, in one call, so that what is short enough is not mixed with what
// others write.
func writePiece(r *driver.Request, fd int) (int, error) {
	bufs := rest(nil, r)
	piece := bufs[0]
	if len(bufs) > 1 && len(piece) < pipeBuf {
		var gathered [pipeBuf]byte
		n := 0
		for _, b := range bufs {
			n += copy(gathered[n:], b)
		}
		piece = gathered[:n]
	}
	piece = piece[:min(len(piece), pipeBuf)]
	if r.Off == driver.CurrentOffset {
		return unix.Write(fd, piece)
	}
	return unix.Pwrite(fd, piece, position(r))
}
