package iocp

import (
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// TestDetachedDuplicates: when a handle is taken from the port, so is its duplicate among the registered files, and threads wait for that. Wine can't
// take the handle away; what the driver remembers of it is the same.
func TestDetachedDuplicates(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, other := newPipe(t)
		another, _ := newPipe(t)
		for _, h := range []driver.Handle{h, another} {
			if err := d.Attach(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.RegisterFiles([]driver.Handle{h, another}); err != nil {
			t.Fatal(err)
		}
		file := driver.RegisteredHandle(0)
		readsData(t, d, file, other)
		d.detached(d.handles.of(windows.Handle(h)))
		for i, want := range []place{onWorker, pending} {
			r := newRead(driver.RegisteredHandle(i))
			starts(t, d, r)
			if got := d.blocks[r.State.Slot-1].where; got != want {
				t.Errorf("file %d: its read is in place %d, not %d", i, got, want)
			}
			cancel(d, r)
			awaits(t, d, r)
		}
		if err := d.RegisterFiles(nil); err != nil {
			t.Fatal(err)
		}
	})
}

// TestHazard16InquireChangesNothing: it may be a late answer about a number that is another handle's by then.
func TestHazard16InquireChangesNothing(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, _ := newPipe(t)
		if what, err := inquire(windows.Handle(h)); err != nil || !what.pipe || what.attached {
			t.Errorf("%+v, %v", what, err)
		}
		if err := d.Attach(h); err != nil { // it would be ErrOtherPort, had it been attached
			t.Error(err)
		}
	})
}
