//go:build unix

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func execFsync(_ *driver.Request, fd, _ int) (int, error)     { return 0, fsync(fd) }
func execFdatasync(_ *driver.Request, fd, _ int) (int, error) { return 0, fdatasync(fd) }

func execFallocate(r *driver.Request, fd, _ int) (int, error) {
	return 0, fallocate(fd, r.Arg, r.Off, r.Len)
}

func execTruncate(r *driver.Request, fd, _ int) (int, error) { return 0, unix.Ftruncate(fd, r.Len) }

func execFadvise(r *driver.Request, fd, _ int) (int, error) {
	return 0, fadvise(fd, r.Off, r.Len, r.Arg)
}
