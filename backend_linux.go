package ringport

import (
	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/pool"
	"github.com/ringport/ringport/internal/driver/uring"
)

// backends are this system's, best first.
var backends = []backend{
	{BackendIOUring, func(o driver.Options) (driver.Driver, error) { return uring.Open(o) }},
	{BackendPool, func(o driver.Options) (driver.Driver, error) { return pool.Open(o) }},
}
