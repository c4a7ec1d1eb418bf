//go:build unix && !linux

package ringport

// terminals: each system has its own way to get one, and these are tested on Linux.
var terminals []stream
