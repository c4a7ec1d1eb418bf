//go:build !unix

package main

import "runtime"

// kernelVersion is the system's name.
func kernelVersion() string { return runtime.GOOS }
