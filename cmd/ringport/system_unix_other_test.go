//go:build unix && !linux

package main

// prepareCommand has nothing to do: what tests do to the command is Linux's.
func prepareCommand() error { return nil }
