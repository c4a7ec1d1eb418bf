package driver

import (
	"time"

	"golang.org/x/sys/unix"
)

// StatxOf is what statx(2) has found.
func StatxOf(x *unix.Statx_t) FileStat {
	s := FileStat{
		SizeBytes: int64(x.Size), Mode: fileMode(uint32(x.Mode)), ModTime: statxTime(x.Mtime), AccessTime: statxTime(x.Atime),
		ChangeTime: statxTime(x.Ctime), Inode: x.Ino, Device: unix.Mkdev(x.Dev_major, x.Dev_minor), LinkCount: uint64(x.Nlink),
		UID: x.Uid, GID: x.Gid, BlockBytes: int64(x.Blksize), Blocks: int64(x.Blocks),
	}
	if x.Mask&unix.STATX_BTIME != 0 {
		s.BirthTime = statxTime(x.Btime)
	}
	return s
}

func statxTime(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }
