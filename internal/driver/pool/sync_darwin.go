package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// fsync asks for the disk's own cache too, which fsync(2) does not do here. See fcntl(2), F_FULLFSYNC. A file system that
// doesn't know it (SMB) gets fsync(2).
func fsync(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
	if err == unix.ENOTSUP {
		return unix.Fsync(fd)
	}
	return err
}

func fdatasync(fd int) error { return fsync(fd) }

// fallocate reserves what lies beyond the end of the file (F_PREALLOCATE) and makes the file that long. Holes before the end
// can't be filled here, so that a file with holes gets ErrUnsupported.
func fallocate(fd int, mode uint32, off, size int64) error {
	if mode != 0 {
		return driver.ErrUnsupported
	}
	if off < 0 || size <= 0 {
		return unix.EINVAL
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if off < st.Size && st.Blocks*512 < st.Size {
		return driver.ErrUnsupported
	}
	more := off + size - st.Size
	if more <= 0 {
		return nil
	}
	store := unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: more}
	if err := unix.FcntlFstore(uintptr(fd), unix.F_PREALLOCATE, &store); err != nil {
		return err
	}
	return unix.Ftruncate(fd, off+size)
}

// fadvise ignores the advice, as posix_fadvise(2) may, but not a wrong descriptor.
func fadvise(fd int, off, size int64, advice uint32) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err
}
