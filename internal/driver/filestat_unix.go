//go:build unix

package driver

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// StatOf is what fstat(2) has found. The birth time is each system's own business.
func StatOf(st *unix.Stat_t) FileStat {
	return FileStat{
		SizeBytes: st.Size, Mode: fileMode(uint32(st.Mode)), ModTime: TimeOf(st.Mtim), AccessTime: TimeOf(st.Atim),
		ChangeTime: TimeOf(st.Ctim), Inode: uint64(st.Ino), Device: uint64(st.Dev), LinkCount: uint64(st.Nlink),
		UID: st.Uid, GID: st.Gid, BlockBytes: int64(st.Blksize), Blocks: int64(st.Blocks),
	}
}

// TimeOf is a timespec as Go has it.
func TimeOf(t unix.Timespec) time.Time { return time.Unix(t.Unix()) }

// fileMode is a st_mode as Go names it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	}
	if mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}
