package copytree

import (
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	errDiskFull    = unix.ENOSPC
	adviceDontNeed = unix.FADV_DONTNEED
)

// fileID tells files apart by what they are and not by their names.
type fileID struct{ device, inode uint64 }

// identity is a file's, if it has more than one name.
func identity(info fs.FileInfo) (fileID, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return fileID{}, false
	}
	return fileID{uint64(st.Dev), st.Ino}, true
}

func accessTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Atim.Unix())
	}
	return info.ModTime()
}

// segments are the parts of a file that are not holes. See lseek(2), SEEK_DATA.
func segments(fd uintptr, size int64) (parts []segment) {
	for off := int64(0); off < size; {
		start, err := unix.Seek(int(fd), off, unix.SEEK_DATA)
		if err == unix.ENXIO { // a hole to the end
			return parts
		}
		if err != nil { // this file system does not know
			return append(parts, segment{off, size})
		}
		end, err := unix.Seek(int(fd), start, unix.SEEK_HOLE)
		if err != nil || end > size {
			end = size
		}
		if start >= size {
			return parts
		}
		parts = append(parts, segment{start, end})
		off = end
	}
	return parts
}
