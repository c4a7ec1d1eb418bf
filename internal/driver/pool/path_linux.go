package pool

import (
	"time"

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
		fillFromStat(s, &st)
		return nil
	default:
		return err
	}
	*s = driver.FileStat{
		SizeBytes: int64(x.Size), Mode: FileMode(uint32(x.Mode)), ModTime: statxTime(x.Mtime), AccessTime: statxTime(x.Atime),
		ChangeTime: statxTime(x.Ctime), Inode: x.Ino, Device: unix.Mkdev(x.Dev_major, x.Dev_minor), LinkCount: uint64(x.Nlink),
		UID: x.Uid, GID: x.Gid, BlockBytes: int64(x.Blksize), Blocks: int64(x.Blocks),
	}
	if x.Mask&unix.STATX_BTIME != 0 {
		s.BirthTime = statxTime(x.Btime)
	}
	return nil
}

func statxTime(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

func renameWithFlags(dir int, path string, dir2 int, path2 string, flags uint32) error {
	return unix.Renameat2(dir, path, dir2, path2, uint(flags))
}
