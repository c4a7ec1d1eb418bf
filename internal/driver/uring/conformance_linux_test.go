package uring

import (
	"errors"
	"testing"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/drivertest"
	"github.com/ringport/ringport/internal/ring"
)

// available skips a test where io_uring is not to be had.
func available(t *testing.T) {
	t.Helper()
	d, err := Open(driver.Options{Depth: 1, MaxThreads: 1})
	if unavailable := new(driver.UnavailableError); errors.As(err, &unavailable) {
		t.Skipf("%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	available(t)
	drivertest.Run(t, func(o driver.Options) (driver.Driver, error) { return Open(o) })
}

// TestConformanceWithoutOpcodes: what the oldest kernel supported lacks is done by system calls.
func TestConformanceWithoutOpcodes(t *testing.T) {
	available(t)
	open := func(o driver.Options) (driver.Driver, error) {
		d, err := Open(o)
		if err != nil {
			return nil, err
		}
		for _, op := range []uint8{ring.OpMkdirat, ring.OpLinkat, ring.OpFtruncate, ring.OpSocket, ring.OpBind, ring.OpListen} {
			d.ops[op/64] &^= 1 << (op % 64)
		}
		d.lends = false
		return d, nil
	}
	drivertest.Run(t, open, "Truncate", "Mkdir", "Link", "Law8BadPaths", "Law1ExactlyOnce", "ChainRunsInOrder", "SocketsTalk", "Datagrams", "Law8BadSockets",
		"ZeroCopySends", "Law3CancelZeroCopy")

	d, err := open(driver.Options{Depth: 8, MaxThreads: 1})
	if err != nil {
		t.Fatal(err)
	}
	registered := &driver.Request{Kind: driver.Truncate, FD: driver.RegisteredHandle(0)} // no system call takes one
	if !d.Submit(registered) || registered.Err != driver.ErrUnsupported {
		t.Errorf("%v", registered.Err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
