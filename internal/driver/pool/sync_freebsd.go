package pool

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func fsync(fd int) error { return unix.Fsync(fd) }

func fdatasync(fd int) error {
	if _, _, errno := unix.Syscall(unix.SYS_FDATASYNC, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// fallocate is posix_fallocate(2), which returns its error as the result. Where a word is 32 bits it would take its offsets
// apart: nobody has asked for that yet.
func fallocate(fd int, mode uint32, off, size int64) error {
	if mode != 0 || unsafe.Sizeof(uintptr(0)) < 8 {
		return driver.ErrUnsupported
	}
	result, _, errno := unix.Syscall(unix.SYS_POSIX_FALLOCATE, uintptr(fd), uintptr(off), uintptr(size))
	if errno != 0 {
		return errno
	}
	if result != 0 {
		return syscall.Errno(result)
	}
	return nil
}

func fadvise(fd int, off, size int64, advice uint32) error {
	return unix.Fadvise(fd, off, size, int(advice))
}
