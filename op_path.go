package ringport

import (
	"io/fs"

	"github.com/ringport/ringport/internal/driver"
)

// FileStat is what [StatAt] and [File.Stat] find out about a file, the same on every platform. Its fields:
//
//	SizeBytes  int64
//	Mode       fs.FileMode // kind and permission bits
//	ModTime    time.Time   // when its content was last changed
//	AccessTime time.Time   // when it was last read
//	ChangeTime time.Time   // when its content or what is said here was last changed
//	BirthTime  time.Time   // when it was made; zero where the file system does not know
//	Inode      uint64      // its number on the device (Windows: file index)
//	Device     uint64      // the device's number (Windows: the volume's serial number)
//	LinkCount  uint64      // names that it has
//	UID, GID   uint32      // owner and group; 0 on Windows
//	BlockBytes int64       // preferred size of a transfer
//	Blocks     int64       // 512-byte blocks in use
type FileStat = driver.FileStat

// OpenAt opens path, relative to dir ([CurrentDir] or an open directory). Flags are os.O_* and the platform's own;
// O_CLOEXEC is added. The result is the new descriptor, which belongs to the caller. Opening a FIFO waits for its other end
// unless flags has O_NONBLOCK, and is cancelled like any wait. See openat(2).
func OpenAt(dir Handle, path string, flags int, perm fs.FileMode) Op {
	return Op{req: driver.Request{Kind: driver.Open, Flags: driver.Waits, FD: dir, Arg: uint32(flags), Arg2: unixMode(perm),
		Ext: &driver.Ext{Path: path}}}
}

// CloseHandle closes a handle. Operations in flight on it are not ended by that: cancel them first. Closing a
// [RegisteredFile] leaves its place empty. See close(2).
func CloseHandle(h Handle) Op { return Op{req: driver.Request{Kind: driver.Close, FD: h}} }

// StatAt finds out about path, relative to dir, and stores it in *stat. An empty path means dir itself, which may be any
// handle. Flags are AT_SYMLINK_NOFOLLOW or 0. See statx(2).
func StatAt(dir Handle, path string, flags uint32, stat *FileStat) Op {
	return Op{req: driver.Request{Kind: driver.Stat, FD: dir, Arg: flags, Ext: &driver.Ext{Path: path, Stat: stat}}}
}

// UnlinkAt removes path, relative to dir. Flags are 0, or AT_REMOVEDIR to remove an empty directory. See unlinkat(2).
func UnlinkAt(dir Handle, path string, flags uint32) Op {
	return Op{req: driver.Request{Kind: driver.Unlink, FD: dir, Arg: flags, Ext: &driver.Ext{Path: path}}}
}

// RenameAt renames oldPath, relative to oldDir, to newPath, relative to newDir. Flags are 0 or RENAME_*, where the system
// has them. See renameat2(2).
func RenameAt(oldDir Handle, oldPath string, newDir Handle, newPath string, flags uint32) Op {
	return Op{req: driver.Request{Kind: driver.Rename, FD: oldDir, Arg: flags,
		Ext: &driver.Ext{Path: oldPath, FD2: newDir, Path2: newPath}}}
}

// MkdirAt makes a directory at path, relative to dir. See mkdirat(2).
func MkdirAt(dir Handle, path string, perm fs.FileMode) Op {
	return Op{req: driver.Request{Kind: driver.Mkdir, FD: dir, Arg2: unixMode(perm), Ext: &driver.Ext{Path: path}}}
}

// LinkAt makes newPath, relative to newDir, another name of oldPath, relative to oldDir. Flags are AT_*. See linkat(2).
func LinkAt(oldDir Handle, oldPath string, newDir Handle, newPath string, flags uint32) Op {
	return Op{req: driver.Request{Kind: driver.Link, FD: oldDir, Arg: flags,
		Ext: &driver.Ext{Path: oldPath, FD2: newDir, Path2: newPath}}}
}

// unixMode is perm as open(2) and mkdir(2) take it.
func unixMode(perm fs.FileMode) uint32 {
	m := uint32(perm.Perm())
	if perm&fs.ModeSetuid != 0 {
		m |= 0o4000
	}
	if perm&fs.ModeSetgid != 0 {
		m |= 0o2000
	}
	if perm&fs.ModeSticky != 0 {
		m |= 0o1000
	}
	return m
}
