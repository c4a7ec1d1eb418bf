//go:build darwin || openbsd

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func readv(fd int, bufs [][]byte, off int64) (int, error) {
	if off == driver.CurrentOffset {
		return unix.Readv(fd, bufs)
	}
	return unix.Preadv(fd, bufs, off)
}

func writev(fd int, bufs [][]byte, off int64) (int, error) {
	if off == driver.CurrentOffset {
		return unix.Writev(fd, bufs)
	}
	return unix.Pwritev(fd, bufs, off)
}
