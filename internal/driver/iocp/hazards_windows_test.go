package iocp

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// What can go wrong with ports and their handles, by the numbers of docs/semantics.md, which says where each is tested.

// inBothModes runs f with a driver of each mode.
func inBothModes(t *testing.T, f func(t *testing.T, d *Driver)) {
	for _, owned := range []bool{false, true} {
		t.Run(map[bool]string{false: "shared", true: "owned"}[owned], func(t *testing.T) {
			d, err := Open(driver.Options{Owned: owned})
			if err != nil {
				t.Fatal(err)
			}
			f(t, d)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

var pipeNumber atomic.Int64

// newPipe is an overlapped pipe, and its other end, which is synchronous.
func newPipe(t *testing.T) (h driver.Handle, other windows.Handle) {
	t.Helper()
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`\\.\pipe\iocp-test-%d-%d`, os.Getpid(), pipeNumber.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	in, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED, windows.PIPE_TYPE_BYTE, 1, 4096, 4096, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { windows.CloseHandle(in) })
	other, err = windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { windows.CloseHandle(other) })
	return driver.Handle(in), other
}

func newRead(h driver.Handle) *driver.Request {
	return &driver.Request{Kind: driver.Read, FD: h, Buf: make([]byte, 4), Off: driver.CurrentOffset}
}

// submit starts r, calls put, and waits until r is back, from Submit or Wait.
func submit(t *testing.T, d *Driver, r *driver.Request, put func()) {
	t.Helper()
	done := d.Submit(r)
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	put()
	batch := make([]*driver.Request, 8)
	for !done {
		n, err := d.Wait(batch, -1)
		if err != nil || n > 1 || n == 1 && batch[0] != r {
			t.Fatalf("%d requests, %v", n, err)
		}
		done = n == 1
	}
}

// readsData reads what put has the other end write, and nothing else.
func readsData(t *testing.T, d *Driver, h driver.Handle, other windows.Handle) {
	t.Helper()
	put := func() {
		if _, err := windows.Write(other, []byte("data")); err != nil {
			t.Error(err)
		}
	}
	r := newRead(h)
	for i := range 40 {
		if i%2 == 0 { // it waits
			submit(t, d, r, func() {
				if n, err := d.Wait(make([]*driver.Request, 8), 0); n != 0 || err != nil {
					t.Fatalf("before anything was written: %d, %v", n, err)
				}
				put()
			})
		} else { // it is done at once
			put()
			submit(t, d, r, func() {})
		}
		if r.N != 4 || r.Err != nil || string(r.Buf) != "data" {
			t.Fatalf("%d, %v, %q", r.N, r.Err, r.Buf)
		}
		clear(r.Buf)
	}
	if n, err := d.Wait(make([]*driver.Request, 8), 0); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestHazard07WithoutSkipAPacketIsWaitedFor: where the handle was not told to skip them, success at once posts a packet, and that brings the
// request back; and its block is not used before.
func TestHazard07WithoutSkipAPacketIsWaitedFor(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, other := newPipe(t)
		if _, err := windows.CreateIoCompletionPort(windows.Handle(h), d.port, keySystem, 0); err != nil {
			t.Fatal(err)
		}
		d.handles.set(windows.Handle(h), &traits{known: true, attached: true, pipe: true, plain: true})
		readsData(t, d, h, other)
	})
}

// TestHazard07SkipOnSuccess: files and pipes skip their packets. Sockets do where each provider has sockets of the system's own, since one in between
// may post them all the same.
func TestHazard07SkipOnSuccess(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, other := newPipe(t)
		if err := d.Attach(h); err != nil || !d.handles.of(windows.Handle(h)).skips {
			t.Error(err)
		}
		readsData(t, d, h, other)

		if err := win32.StartWinsock(); err != nil {
			t.Fatal(err)
		}
		socket, err := windows.WSASocket(windows.AF_INET, windows.SOCK_STREAM, 0, nil, 0, windows.WSA_FLAG_OVERLAPPED)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.Closesocket(socket)
		if err := d.Attach(driver.Handle(socket)); err != nil || d.handles.of(socket).skips != win32.EverySocketIsAHandle() {
			t.Errorf("%v, %+v", err, d.handles.of(socket))
		}
	})
}

// TestHazard11WhatThePortSays: packets that are nobody's bring nothing, and a port that is closed is an error.
func TestHazard11WhatThePortSays(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		stranger := new(windows.Overlapped)
		batch := make([]*driver.Request, 8)
		for _, key := range []uintptr{0, keySystem, keyPosted, keyWake, 1 << 20} {
			for _, o := range []*windows.Overlapped{nil, stranger} {
				if err := windows.PostQueuedCompletionStatus(d.port, 7, key, o); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 3 {
			if n, err := d.Wait(batch, 0); n != 0 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		ended := make(chan error)
		go func() {
			_, err := d.Wait(batch, -1)
			ended <- err
		}()
		windows.CloseHandle(d.port)
		if err := <-ended; err != windows.ERROR_ABANDONED_WAIT_0 && err != windows.ERROR_INVALID_HANDLE {
			t.Errorf("%v", err)
		}
		var err error
		if d.port, err = windows.CreateIoCompletionPort(windows.InvalidHandle, 0, 0, 0); err != nil { // for Close
			t.Fatal(err)
		}
	})
}

// foreignPort binds h to a port that is not d's, and that gets no packet.
func foreignPort(t *testing.T, d *Driver, h driver.Handle) {
	t.Helper()
	port, err := windows.CreateIoCompletionPort(windows.Handle(h), 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var n uint32
		var key uintptr
		var o *windows.Overlapped
		if err := windows.GetQueuedCompletionStatus(port, &n, &key, &o, 0); o != nil {
			t.Errorf("the other port has a packet: %d bytes, %v", n, err)
		}
		windows.CloseHandle(port)
	})
	if err := d.Attach(h); err != driver.ErrOtherPort {
		t.Fatal(err)
	}
}

// TestHazard13EventOfTheHandle: who waits for the handle instead of an event of the call's own waits for ever where the handle was told not to
// be signaled. And the owner of the port that it is on must not get a packet of a call that is not his (hazard 17).
// The seed: Note [Why use non-waiting getOverlappedResult requests.].
func TestHazard13EventOfTheHandle(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, other := newPipe(t)
		if err := windows.SetFileCompletionNotificationModes(windows.Handle(h), windows.FILE_SKIP_SET_EVENT_ON_HANDLE); err != nil {
			t.Fatal(err)
		}
		foreignPort(t, d, h)
		readsData(t, d, h, other)
	})
}

// TestHazard17Duplicates: a duplicate is on the port that its original was attached to, and can't be attached again. Both can be read.
func TestHazard17Duplicates(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, other := newPipe(t)
		if err := d.Attach(h); err != nil {
			t.Fatal(err)
		}
		self := windows.CurrentProcess()
		var again windows.Handle
		if err := windows.DuplicateHandle(self, windows.Handle(h), self, &again, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(again)
		for range 2 {
			if err := d.Attach(driver.Handle(again)); err != driver.ErrOtherPort {
				t.Errorf("%v", err)
			}
		}
		readsData(t, d, driver.Handle(again), other)
		readsData(t, d, h, other)
	})
}

// TestHazard17DetachOnlyOnWindows: a handle that was detached can be attached to another port.
func TestHazard17DetachOnlyOnWindows(t *testing.T) {
	if win32.UnderWine() {
		t.Skip("only Windows can show this; on Wine a handle can't be taken from its port")
	}
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, other := newPipe(t)
		if err := d.Attach(h); err != nil {
			t.Fatal(err)
		}
		readsData(t, d, h, other)
		if err := d.Detach(h); err != nil {
			t.Fatal(err)
		}
		second, err := Open(driver.Options{Owned: d.owned})
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Attach(h); err != nil {
			t.Fatal(err)
		}
		readsData(t, second, h, other)
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestHazard19StandardHandlesKeepTheirModes: other processes may share the file object of standard input. A call of theirs, here one past the driver, gets
// its packet still.
func TestHazard19StandardHandlesKeepTheirModes(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		h, other := newPipe(t)
		stdin, err := windows.GetStdHandle(windows.STD_INPUT_HANDLE)
		if err != nil {
			t.Fatal(err)
		}
		if err := windows.SetStdHandle(windows.STD_INPUT_HANDLE, windows.Handle(h)); err != nil {
			t.Fatal(err)
		}
		defer windows.SetStdHandle(windows.STD_INPUT_HANDLE, stdin)
		if err := d.Attach(h); err != nil {
			t.Fatal(err)
		}
		readsData(t, d, h, other)
		past := new(windows.Overlapped)
		if err := windows.WriteFile(windows.Handle(h), []byte("x"), new(uint32), past); err != nil && err != windows.ERROR_IO_PENDING {
			t.Fatal(err)
		}
		var n uint32
		var key uintptr
		var o *windows.Overlapped
		err = windows.GetQueuedCompletionStatus(d.port, &n, &key, &o, uint32(time.Minute/time.Millisecond))
		if err != nil || o != past || n != 1 {
			t.Errorf("%d, %p, %v; want the packet of %p", n, o, err, past)
		}
	})
}
