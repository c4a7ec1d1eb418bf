package ringport

import (
	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/iocp"
)

// backends are this system's, best first.
var backends = []backend{
	{BackendIOCP, func(o driver.Options) (driver.Driver, error) { return iocp.Open(o) }},
}

// execHere runs a request's system call on the calling goroutine; nil: this system has no such way yet.
var execHere func(*driver.Request)

func isRegular(h Handle) bool { return false }
