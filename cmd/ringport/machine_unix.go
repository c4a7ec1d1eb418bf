//go:build unix

package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// kernelVersion is the system's name and release. See uname(2).
func kernelVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOOS
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
