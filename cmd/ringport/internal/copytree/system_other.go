//go:build !linux

package copytree

import (
	"io/fs"
	"syscall"
	"time"
)

const (
	errDiskFull    = syscall.ENOSPC
	adviceDontNeed = 4 // POSIX_FADV_DONTNEED; systems without the call ignore it
)

// fileID tells files apart by what they are and not by their names.
type fileID struct{}

// identity: other names of a file are copied as files here.
func identity(fs.FileInfo) (fileID, bool) { return fileID{}, false }

// accessTime: a copy counts as read when it was last written.
func accessTime(info fs.FileInfo) time.Time { return info.ModTime() }

// segments: holes are not looked for here.
func segments(_ uintptr, size int64) []segment {
	if size == 0 {
		return nil
	}
	return []segment{{0, size}}
}
