package iocp

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ringport/ringport/internal/driver"
)

// TestTransfersDoNotAllocate: in the steady state, in both modes.
func TestTransfersDoNotAllocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, owned := range []bool{false, true} {
		d, err := Open(driver.Options{Owned: owned})
		if err != nil {
			t.Fatal(err)
		}
		batch := make([]*driver.Request, 8)
		do := func(r *driver.Request) {
			if d.Submit(r) {
				return
			}
			for {
				n, err := d.Wait(batch, -1)
				if err != nil {
					t.Fatal(err)
				}
				if n > 0 {
					return
				}
			}
		}
		open := &driver.Request{Kind: driver.Open, FD: driver.CurrentDir, Arg: uint32(os.O_RDWR), Ext: &driver.Ext{Path: path}}
		if do(open); open.Err != nil {
			t.Fatal(open.Err)
		}
		r := &driver.Request{Kind: driver.Read, FD: driver.Handle(open.N), Buf: make([]byte, 4096)}
		if n := testing.AllocsPerRun(200, func() { do(r) }); n != 0 || r.N != 4096 {
			t.Errorf("owned %v: %v allocations a read, which read %d", owned, n, r.N)
		}
		do(&driver.Request{Kind: driver.Close, FD: driver.Handle(open.N)})
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
