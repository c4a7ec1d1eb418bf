//go:build !unix && !windows

package ringport

// backends are this system's: none yet.
var backends []backend

func isRegular(h Handle) bool { return false }
