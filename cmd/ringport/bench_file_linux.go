package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openDirect opens path past the page cache. Without a file and an error, why says what is in the way. See open(2), O_DIRECT.
func openDirect(path string, flags int, block int64, isNew bool) (f *os.File, why string, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err == nil && (uint32(s.Type) == unix.TMPFS_MAGIC || uint32(s.Type) == unix.RAMFS_MAGIC) {
		return nil, "it is in memory (tmpfs), with no disk below", nil // O_DIRECT is accepted there since Linux 6.6
	}
	f, err = os.OpenFile(path, flags|unix.O_DIRECT, 0)
	if err == nil {
		if err = tryDirect(f, block, isNew); err == nil {
			return f, "", nil
		}
		f.Close()
	}
	if !errors.Is(err, unix.EINVAL) {
		return nil, "", err
	}
	var x unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_DIOALIGN, &x) == nil && x.Mask&unix.STATX_DIOALIGN != 0 &&
		x.Dio_offset_align != 0 && block%int64(x.Dio_offset_align) != 0 {
		return nil, fmt.Sprintf("it needs blocks of a multiple of %d bytes", x.Dio_offset_align), nil
	}
	return nil, "its file system does not offer it", nil
}

// allocated is how many bytes of a regular file have blocks on the disk.
func allocated(f *os.File) (int64, bool) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return int64(512) * s.Blocks, ok
}
