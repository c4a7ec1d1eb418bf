//go:build unix

package pool_test

import (
	"testing"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/drivertest"
	"github.com/ringport/ringport/internal/driver/pool"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(o driver.Options) (driver.Driver, error) { return pool.Open(o) })
}
