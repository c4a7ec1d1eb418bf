package iocp

import (
	"testing"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/drivertest"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(o driver.Options) (driver.Driver, error) { return Open(o) })
}
