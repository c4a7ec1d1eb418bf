//go:build unix && !linux

package ringport

import (
	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/pool"
)

// backends are this system's, best first.
var backends = []backend{
	{BackendPool, func(o driver.Options) (driver.Driver, error) { return pool.Open(o) }},
}
