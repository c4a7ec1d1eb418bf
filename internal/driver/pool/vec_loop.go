//go:build unix && !linux && !darwin && !openbsd

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func readv(fd int, bufs [][]byte, off int64) (int, error) {
	return eachBuffer(bufs, off, func(b []byte, at int64) (int, error) {
		if at == driver.CurrentOffset {
			return unix.Read(fd, b)
		}
		return unix.Pread(fd, b, at)
	})
}

func writev(fd int, bufs [][]byte, off int64) (int, error) {
	return eachBuffer(bufs, off, func(b []byte, at int64) (int, error) {
		if at == driver.CurrentOffset {
			return unix.Write(fd, b)
		}
		return unix.Pwrite(fd, b, at)
	})
}

// eachBuffer transfers one buffer after the other, where x/sys has no call for all, until one is short. What was moved hides a
// later error, as in readv(2).
func eachBuffer(bufs [][]byte, off int64, transfer func(b []byte, at int64) (int, error)) (total int, err error) {
	for _, b := range bufs {
		at := off
		if off != driver.CurrentOffset {
			at += int64(total)
		}
		n, err := transfer(b, at)
		for err == unix.EINTR {
			n, err = transfer(b, at)
		}
		if err != nil {
			if total > 0 {
				return total, nil
			}
			return 0, err
		}
		if total += n; n < len(b) {
			break
		}
	}
	return total, nil
}
