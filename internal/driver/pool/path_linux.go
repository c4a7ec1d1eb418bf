package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// stat uses statx(2) for the birth time. ENOSYS (before Linux 4.11) and EPERM (a sandbox that has not heard of it) fall back
// on fstatat(2).
func stat(fd int, path string, flags uint32, s *driver.FileStat) error {
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var x unix.Statx_t
	switch err := unix.Statx(fd, path, int(flags), unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x); err {
	case nil:
	case unix.ENOSYS, unix.EPERM:
		var st unix.Stat_t
		if err := unix.Fstatat(fd, path, &st, int(flags)); err != nil {
			return err
		}
		*s = driver.StatOf(&st)
		return nil
	default:
		return err
	}
	*s = driver.StatxOf(&x)
	return nil
}

func renameWithFlags(dir int, path string, dir2 int, path2 string, flags uint32) error {
	return unix.Renameat2(dir, path, dir2, path2, uint(flags))
}
