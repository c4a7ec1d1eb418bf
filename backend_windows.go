package ringport

import (
	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/iocp"
)

// backends are this system's, best first.
var backends = []backend{
	{BackendIOCP, func(o driver.Options) (driver.Driver, error) { return iocp.Open(o) }},
}

func isRegular(h Handle) bool { return false }
