package iocp

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// newSynchronousPipe is an anonymous pipe, which needs a thread for each transfer that waits.
func newSynchronousPipe(t *testing.T, d *Driver) (r, w driver.Handle) {
	t.Helper()
	var in, out windows.Handle
	if err := windows.CreatePipe(&in, &out, nil, 4096); err != nil {
		t.Fatal(err)
	}
	for _, h := range []windows.Handle{in, out} {
		t.Cleanup(func() { windows.CloseHandle(h) })
		if err := d.Attach(driver.Handle(h)); err != driver.ErrNotOverlapped {
			t.Fatal(err)
		}
	}
	return driver.Handle(in), driver.Handle(out)
}

func newWrite(h driver.Handle, content string) *driver.Request {
	return &driver.Request{Kind: driver.Write, FD: h, Buf: []byte(content), Off: driver.CurrentOffset}
}

// waitsForAThread reports whether r is queued.
func waitsForAThread(d *Driver, r *driver.Request) bool {
	d.lock()
	defer d.unlock()
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	return d.blocks[r.State.Slot-1].job == queued
}

// TestLanes: reads that wait have so many threads and no more. One that has none yet is cancelled at once and can be written to, and is
// carried out when its turn comes.
func TestLanes(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		const all, most = 6, 3
		d.lanes[inward].max = most
		var reads [all]*driver.Request
		var ends [all]driver.Handle
		for i := range reads {
			var in driver.Handle
			in, ends[i] = newSynchronousPipe(t, d)
			reads[i] = newRead(in)
			starts(t, d, reads[i])
			if n := d.Threads(); n != min(i+1, most) {
				t.Fatalf("%d reads have %d threads", i+1, n)
			}
		}
		for i := most; i < all; i++ {
			if !waitsForAThread(d, reads[i]) {
				t.Errorf("read %d does not wait for a thread", i)
			}
		}
		cancel(d, reads[3])
		if awaits(t, d, reads[3]); reads[3].Err != driver.ErrCanceled {
			t.Errorf("%d, %v", reads[3].N, reads[3].Err)
		}
		for _, i := range []int{5, 4} { // the last is not before its turn
			w := newWrite(ends[i], "data")
			starts(t, d, w)
			if awaits(t, d, w); w.N != 4 || w.Err != nil {
				t.Fatalf("%d, %v", w.N, w.Err)
			}
		}
		starts(t, d, newWrite(ends[1], "data"))
		order := next(t, d, 4)
		for _, r := range order {
			if r.N != 4 || r.Err != nil {
				t.Errorf("%v: %d, %v", r.Kind, r.N, r.Err)
			}
		}
		if slices.Index(order, reads[4]) > slices.Index(order, reads[5]) {
			t.Error("they came out of their order")
		}
		d.CancelAll()
		for _, r := range next(t, d, 2) {
			if r.Err != driver.ErrCanceled {
				t.Errorf("%d, %v", r.N, r.Err)
			}
		}
	})
}

// TestMoreReadsThanThreads: as many waiting reads as would end the program, were there no limit on their threads.
func TestMoreReadsThanThreads(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		const most, all = 20, 10100
		d.lanes[inward].max = most
		in, out := newSynchronousPipe(t, d)
		reads := make([]*driver.Request, all)
		for i := range reads {
			reads[i] = newRead(in)
		}
		starts(t, d, reads...)
		if n := d.Threads(); n != most {
			t.Errorf("%d threads", n)
		}
		w := newWrite(out, "data")
		starts(t, d, w)
		for _, r := range next(t, d, 2) {
			if r.N != 4 || r.Err != nil {
				t.Errorf("%v: %d, %v", r.Kind, r.N, r.Err)
			}
		}
		d.CancelAll()
		for _, r := range next(t, d, all-1) {
			if r.Err != driver.ErrCanceled {
				t.Fatalf("%d, %v", r.N, r.Err)
			}
		}
		for d.Threads() > 0 {
			runtime.Gosched()
		}
	})
}

// TestCancelOfWhatWaitsForAPosition: it waits for another transfer that uses the file's own position, has done nothing, and ends at once.
func TestCancelOfWhatWaitsForAPosition(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h := driver.Handle(f.Fd())
		lock := d.positions.of(windows.Handle(h))
		lock <- struct{}{} // as if another had it
		first, second := newRead(h), newRead(h)
		starts(t, d, first)
		waits := func() bool {
			d.workers.mu.Lock()
			defer d.workers.mu.Unlock()
			return d.blocks[first.State.Slot-1].stop != nil
		}
		for !waits() {
			runtime.Gosched()
		}
		starts(t, d, second)
		cancel(d, first)
		if awaits(t, d, first); first.N != 0 || first.Err != driver.ErrCanceled {
			t.Errorf("%d, %v", first.N, first.Err)
		}
		<-lock
		if awaits(t, d, second); second.N != 4 || string(second.Buf) != "data" {
			t.Errorf("%d, %v, %q", second.N, second.Err, second.Buf)
		}
	})
}
