//go:build !linux

package main

import (
	"io/fs"
	"os"
)

// openDirect says that there is no direct I/O: only Linux's O_DIRECT is supported so far.
func openDirect(path string, flags int, block int64, isNew bool) (f *os.File, why string, err error) {
	return nil, "not supported on this system", nil
}

// allocated is not known.
func allocated(fs.FileInfo) (int64, bool) { return 0, false }
