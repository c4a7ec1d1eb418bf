//go:build unix && !(darwin || dragonfly || freebsd || linux || netbsd)

package rnet

// The system, or our knowledge of it, has keep-alive on and off alone.
const (
	keepIdle     = 0
	keepInterval = 0
	keepCount    = 0
)
