package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
)

// isDeviceName reports whether path is in the namespace of devices.
func isDeviceName(path string) bool { return strings.HasPrefix(filepath.ToSlash(path), "//./") }

// openFile opens path. What all handles of a temporary file need, others may delete it: see createTemporary.
func openFile(path string, flags int) (*os.File, error) {
	h, err := openHandle(path, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

// fileFlags are the bits of flags for os.OpenFile that are CreateFile's FILE_FLAG_*.
const fileFlags = 0xfff00000

// openHandle is CreateFile for flags as os.OpenFile takes them: the ways to open, without O_CREATE, and FILE_FLAG_*.
func openHandle(path string, flags int) (windows.Handle, error) {
	access := uint32(windows.GENERIC_READ)
	if flags&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	return create(path, access, windows.OPEN_EXISTING, uint32(flags)&fileFlags)
}

func create(path string, access, disposition, flags uint32) (windows.Handle, error) {
	h, err := win32.Open(path, access, disposition, flags|windows.FILE_ATTRIBUTE_NORMAL)
	if err != nil {
		return h, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return h, nil
}

// createTemporary makes a file that is removed when the handle returned and all others are closed, be it because their processes ended.
// It keeps its name until then, by which each engine opens it.
func createTemporary(folder string) (*os.File, error) {
	path := filepath.Join(folder, strings.Replace(tempPattern, "*", fmt.Sprint(rand.Uint64()), 1))
	h, err := create(path, windows.DELETE, windows.CREATE_NEW, windows.FILE_FLAG_DELETE_ON_CLOSE)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

// loseName has nothing to do: createTemporary has seen to it.
func (b *benchFile) loseName() { b.remove = "" }

// openDirect opens path past the cache. Without a file and an error, why says what is in the way.
func openDirect(path string, flags int, block int64, isNew bool) (f *os.File, why string, err error) {
	if version, _ := win32.Wine(); version != "" {
		return nil, "Wine takes FILE_FLAG_NO_BUFFERING and reads through the cache all the same", nil
	}
	return openUnbuffered(path, flags, block, isNew)
}

// openUnbuffered is openDirect where the system obeys. See CreateFile, FILE_FLAG_NO_BUFFERING.
func openUnbuffered(path string, flags int, block int64, isNew bool) (f *os.File, why string, err error) {
	f, err = openFile(path, flags|windows.O_FILE_FLAG_NO_BUFFERING)
	if err == nil {
		if err = tryDirect(f, block, isNew); err == nil {
			return f, "", nil
		}
		f.Close()
	}
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) { // a sector has 512 or 4096 bytes
		return nil, "its disk needs blocks of a multiple of its sector's size", nil
	}
	return nil, "", err
}

// allocated is how many bytes of a file have space on the disk. See FILE_STANDARD_INFO.
func allocated(f *os.File) (int64, bool) {
	x, err := win32.QueryExtra(windows.Handle(f.Fd()))
	return x.AllocationBytes, err == nil
}

// freeSpace is how many bytes this user may still write to folder's volume. See GetDiskFreeSpaceEx.
func freeSpace(folder string) (int64, bool) {
	name, err := windows.UTF16PtrFromString(folder)
	var free uint64
	if err != nil || windows.GetDiskFreeSpaceEx(name, &free, nil, nil) != nil {
		return 0, false
	}
	return int64(min(free, 1<<63-1)), true
}

const errReadOnlyDisk = windows.ERROR_WRITE_PROTECT

func isDiskFull(err error) bool {
	for _, full := range []syscall.Errno{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED} {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}
