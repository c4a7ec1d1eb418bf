//go:build !(darwin || dragonfly || freebsd || netbsd || openbsd)

package driver

import "runtime"

// An address begins with its family.
const (
	hasLength   = false
	hasAbstract = runtime.GOOS == "linux"
)
