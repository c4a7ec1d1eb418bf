//go:build unix && !linux && !darwin && !freebsd

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func fsync(fd int) error { return unix.Fsync(fd) }

// fdatasync writes more than it must.
func fdatasync(fd int) error { return unix.Fsync(fd) }

func fallocate(fd int, mode uint32, off, size int64) error { return driver.ErrUnsupported }

// fadvise ignores the advice, as posix_fadvise(2) may, but not a wrong descriptor.
func fadvise(fd int, off, size int64, advice uint32) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err
}
