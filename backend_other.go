//go:build !unix && !windows

package ringport

import "github.com/ringport/ringport/internal/driver"

// backends are this system's: none yet.
var backends []backend

// execHere runs a request's system call on the calling goroutine; nil: this system has no such way.
var execHere func(*driver.Request)

func isRegular(h Handle) bool { return false }
