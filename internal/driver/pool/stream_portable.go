//go:build unix && (!linux || portable)

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// attemptOnce makes one call that does not block: on sockets only.
func attemptOnce(r *driver.Request, fd int) (int, error) {
	if !reads(r.Kind) && !sendsWithoutBlocking {
		return 0, errNoAttempt
	}
	return attemptSocket(r, fd)
}

// transferInterruptibly makes one call that blocks only if a competitor is faster. It can't be interrupted here. A read fills
// one buffer, since a second might have to wait; a write is as much as fits when fd polls writable, gathered, so that a
// short one is not mixed with what others write.
func (d *Driver) transferInterruptibly(r *driver.Request, fd int) (int, error) {
	bufs := rest(nil, r)
	var buf []byte
	if len(bufs) > 0 {
		buf = bufs[0]
	}
	if reads(r.Kind) {
		if r.Off == driver.CurrentOffset {
			return unix.Read(fd, buf)
		}
		return unix.Pread(fd, buf, r.Off)
	}
	if len(bufs) > 1 && len(buf) < pipeBuf {
		var piece [pipeBuf]byte
		n := 0
		for _, b := range bufs {
			n += copy(piece[n:], b)
		}
		buf = piece[:n]
	}
	buf = buf[:min(len(buf), pipeBuf)]
	if r.Off == driver.CurrentOffset {
		return unix.Write(fd, buf)
	}
	return unix.Pwrite(fd, buf, r.Off)
}
