//go:build !linux

package main

import "os"

// setupFlag is a flag of io_uring, which is Linux's.
type setupFlag struct {
	name, since      string
	threaded, driven bool
}

var setupFlags []setupFlag

// probeRing finds nothing: io_uring is Linux's.
func probeRing() *ringFindings { return nil }

func deadProbe(*os.ProcessState) *ringFindings { return nil }
