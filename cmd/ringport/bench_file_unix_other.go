//go:build unix && !linux

package main

import "os"

// openDirect says that there is no direct I/O: only those of Linux and Windows are supported so far.
func openDirect(path string, flags int, block int64, isNew bool) (f *os.File, why string, err error) {
	return nil, "not supported on this system", nil
}

// allocated is not known.
func allocated(*os.File) (int64, bool) { return 0, false }
