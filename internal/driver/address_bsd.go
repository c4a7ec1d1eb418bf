//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package driver

// An address begins with its length, and there are no abstract names.
const (
	hasLength   = true
	hasAbstract = false
)
