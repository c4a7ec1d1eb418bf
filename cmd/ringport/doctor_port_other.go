//go:build !windows

package main

// probePort finds nothing: completion ports are Windows's.
func probePort() *portFindings { return nil }
