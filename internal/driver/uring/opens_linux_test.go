package uring

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/patience"
)

// TestWaitingOpenTakesNoKernelWorker: an open that waits for its peer holds up nothing, even where the kernel has one worker and makes no
// other, as happens when it could not for a while. It has a thread of its own meanwhile.
func TestWaitingOpenTakesNoKernelWorker(t *testing.T) {
	available(t)
	for _, owned := range []bool{false, true} {
		d, err := Open(driver.Options{Owned: owned, MaxThreads: 1})
		if err != nil {
			t.Fatal(err)
		}
		if owned {
			if err := d.Own(); err != nil {
				t.Fatal(err)
			}
		}
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		open := &driver.Request{Kind: driver.Open, Flags: driver.Waits, FD: driver.CurrentDir, Ext: &driver.Ext{Path: fifo}}
		submit(t, d, open)
		back(t, d, &driver.Request{Kind: driver.Nop})
		if err := d.ring.SetMaxWorkers(1, 1); err != nil {
			t.Skip("this kernel's workers can't be bounded:", err)
		}
		stat := &driver.Request{Kind: driver.Stat, FD: driver.CurrentDir, Ext: &driver.Ext{Path: fifo, Stat: new(driver.FileStat)}}
		back(t, d, stat)
		if stat.Err != nil {
			t.Error(stat.Err)
		}
		for d.Threads() != 1 {
			runtime.Gosched() // it is on its way to the call that waits
		}
		d.Cancel(open)
		await(t, d, open)
		if n := d.Threads(); open.Err != driver.ErrCanceled || n != 0 {
			t.Errorf("%v, %d threads", open.Err, n)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func submit(t *testing.T, d *Driver, r *driver.Request) {
	t.Helper()
	if d.Submit(r) {
		t.Fatal("back at once:", r.Err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
}

func back(t *testing.T, d *Driver, r *driver.Request) {
	t.Helper()
	submit(t, d, r)
	await(t, d, r)
}

// await waits for r, and no other.
func await(t *testing.T, d *Driver, r *driver.Request) {
	t.Helper()
	batch := make([]*driver.Request, 4)
	for end := time.Now().Add(patience.Limit); time.Now().Before(end); {
		switch n, err := d.Wait(batch, time.Second); {
		case err != nil:
			t.Fatal(err)
		case n > 1 || n == 1 && batch[0] != r:
			t.Fatalf("%d came back, %v first", n, batch[0].Kind)
		case n == 1:
			return
		}
	}
	t.Fatalf("%v does not come back", r.Kind)
}
