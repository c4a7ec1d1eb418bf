//go:build unix && !linux && !freebsd && !netbsd && !dragonfly && !darwin

package ringport

func isDirect(flags int) bool { return false }
