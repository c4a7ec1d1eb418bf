//go:build unix && !linux && !darwin && !freebsd

package main

// freeSpace is not known.
func freeSpace(string) (int64, bool) { return 0, false }
