package iocp

import (
	"slices"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// awaits waits until r is back, and nothing else is.
func awaits(t *testing.T, d *Driver, r *driver.Request) {
	t.Helper()
	if back := next(t, d, 1); back[0] != r {
		t.Fatalf("%v came back, %d, %v", back[0].Kind, back[0].N, back[0].Err)
	}
}

// next waits until n requests are back.
func next(t *testing.T, d *Driver, n int) (back []*driver.Request) {
	t.Helper()
	batch := make([]*driver.Request, 64)
	for len(back) < n {
		k, err := d.Wait(batch, -1)
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, batch[:k]...)
	}
	if len(back) > n {
		t.Fatalf("%d requests are back, not %d", len(back), n)
	}
	return back
}

// starts submits rs, none of which is done at once.
func starts(t *testing.T, d *Driver, rs ...*driver.Request) {
	t.Helper()
	for _, r := range rs {
		if d.Submit(r) {
			t.Fatalf("done at once: %d, %v", r.N, r.Err)
		}
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
}

// cancel asks as the manager does.
func cancel(d *Driver, r *driver.Request) {
	r.Asked.Store(true)
	d.Cancel(r)
}

// TestCancelFindsWhatHasNoPacket: a handle was attached and closed past the driver, and the next of its number is on no port. A request on it that is
// cancelled comes back nevertheless, with what it did. A packet that comes after all finds nobody.
func TestCancelFindsWhatHasNoPacket(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		var h driver.Handle
		var other windows.Handle
		for first := windows.Handle(0); first == 0 || driver.Handle(first) != h; { // numbers are used again soon
			name, err := windows.UTF16PtrFromString(`\\.\pipe\iocp-test-closed`)
			if err != nil {
				t.Fatal(err)
			}
			if first, err = windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED, 0, 1, 0, 0, 0, nil); err != nil {
				t.Fatal(err)
			}
			if err := d.Attach(driver.Handle(first)); err != nil {
				t.Fatal(err)
			}
			windows.CloseHandle(first)
			h, other = newPipe(t)
		}
		for range 3 {
			r := newRead(h)
			starts(t, d, r)
			cancel(d, r)
			if awaits(t, d, r); r.N != 0 || r.Err != driver.ErrCanceled {
				t.Errorf("%d, %v", r.N, r.Err)
			}
		}
		r := newRead(h)
		starts(t, d, r)
		b := d.blocks[r.State.Slot-1]
		if _, err := windows.Write(other, []byte("data")); err != nil {
			t.Fatal(err)
		}
		cancel(d, r)
		if awaits(t, d, r); r.N != 4 || r.Err != nil || string(r.Buf) != "data" {
			t.Errorf("%d, %v, %q", r.N, r.Err, r.Buf)
		}
		if b.where != limbo || slices.Contains(d.spare, b) {
			t.Errorf("the block is in place %d, and may be used again", b.where)
		}
		if err := windows.PostQueuedCompletionStatus(d.port, 4, keySystem, &b.ov); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Wait(make([]*driver.Request, 8), 0); n != 0 || err != nil || !slices.Contains(d.spare, b) {
			t.Errorf("after the late packet: %d, %v", n, err)
		}
		d.handles.forget(windows.Handle(h))
	})
}

// TestCancelAllLetsOthersWork: the driver's lock is not held while the system is asked to end one request after the other. Whoever takes it may be too
// late to see that, so that there are many rounds.
func TestCancelAllLetsOthersWork(t *testing.T) {
	d, err := Open(driver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := newPipe(t)
	if err := d.Attach(h); err != nil {
		t.Fatal(err)
	}
	rs := make([]*driver.Request, 500)
	for i := range rs {
		rs[i] = newRead(h)
	}
	between := false
	for range 50 {
		starts(t, d, rs...)
		done := make(chan bool)
		go func() {
			d.CancelAll()
			close(done)
		}()
		for asked := 0; asked < len(rs) && !between; {
			asked = 0
			d.lock()
			for _, r := range rs {
				if r.State.Canceling {
					asked++
				}
			}
			d.unlock()
			between = 0 < asked && asked < len(rs)
		}
		<-done
		for _, r := range next(t, d, len(rs)) {
			if r.Err != driver.ErrCanceled {
				t.Fatalf("%d, %v", r.N, r.Err)
			}
		}
		if between {
			break
		}
	}
	if !between {
		t.Error("all are asked, or none")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestAbortedByTheClose: an operation that nobody here has cancelled, on a handle that is not open any more, was ended by the close.
func TestAbortedByTheClose(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		name, err := windows.UTF16PtrFromString(`\\.\pipe\iocp-test-aborted`)
		if err != nil {
			t.Fatal(err)
		}
		for closed, rounds := false, 0; rounds < 2; {
			h, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED, 0, 1, 0, 0, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Attach(driver.Handle(h)); err != nil {
				t.Fatal(err)
			}
			other, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			r := newRead(driver.Handle(h))
			starts(t, d, r)
			if err := windows.CancelIoEx(h, nil); err != nil {
				t.Fatal(err)
			}
			want := windows.ERROR_OPERATION_ABORTED
			if closed {
				want = windows.ERROR_HANDLES_CLOSED
				windows.CloseHandle(h)
			}
			awaits(t, d, r)
			again := closed && win32.IsOpen(h) == nil // the runtime has another handle of that number by now
			if r.N != 0 || r.Err != want && !again {
				t.Errorf("closed %v: %d, %v; want %v", closed, r.N, r.Err, want)
			}
			d.handles.forget(h)
			if !closed {
				windows.CloseHandle(h)
			}
			windows.CloseHandle(other)
			if !again {
				closed = true
				rounds++
			}
		}
	})
}
