package ringport

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
	"github.com/ringport/ringport/internal/win32/win32test"
)

// Calls that take an OVERLAPPED, other than this package's own, by way of Overlapped.

// fsControl is a start function.
func fsControl(h Handle, code uint32, in, out []byte) func(ov *windows.Overlapped) Started {
	return func(ov *windows.Overlapped) Started {
		switch status := win32.FsControl(windows.Handle(h), code, in, out, ov); {
		case status == windows.STATUS_PENDING:
			return Pending()
		case int32(status) < 0:
			return Failed(status)
		}
		return Done(int(ov.InternalHigh))
	}
}

// TestOverlapped_PipeWait: it is cancelled while it waits, and ends when an instance listens again.
func TestOverlapped_PipeWait(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		root, _ := windows.UTF16PtrFromString(`\\.\pipe\`)
		const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE
		pipes, err := windows.CreateFile(root, windows.GENERIC_READ, share, nil, windows.OPEN_EXISTING, s.flags(), 0)
		if err != nil {
			t.Fatal(err)
		}
		h := s.attach(t, m, pipes)
		server, name := s.server(t, m)
		client := s.dial(t, m, name)
		in, err := win32.PipeWait(filepath.Base(name), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		op := Overlapped("FSCTL_PIPE_WAIT", h, 0, fsControl(h, windows.FSCTL_PIPE_WAIT, in, nil))
		for range 3 {
			cancelled(t, m, &op)
		}
		unchecked := Overlapped("FSCTL_PIPE_WAIT", h, 0, func(ov *windows.Overlapped) Started { // STATUS_PENDING is pending
			return Unchecked(win32.FsControl(windows.Handle(h), windows.FSCTL_PIPE_WAIT, in, nil, ov))
		})
		for range 3 {
			cancelled(t, m, &unchecked)
		}
		connect := ConnectPipe(server)
		n, err := meanwhile(t, m, &op, func() {
			does(t, m, closing(client), 0, nil)
			does(t, m, ref(DisconnectPipe(server)), 0, nil)
			if err := m.Start(&connect, func(*Op) {}); err != nil {
				t.Error(err)
			}
		})
		expectResult(t, 0, nil)(n, err)
		s.dial(t, m, name)
	})
}

// TestOverlapped_PipePeek: a call with output that is over at once.
func TestOverlapped_PipePeek(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := s.pair(t, m)
		does(t, m, ref(Write(client, []byte("data"), CurrentOffset)), 4, nil)
		const headBytes = 16 // FILE_PIPE_PEEK_BUFFER: NamedPipeState, ReadDataAvailable, NumberOfMessages, MessageLength, Data
		out := make([]byte, headBytes+4)
		op := Overlapped("FSCTL_PIPE_PEEK", server, 0, fsControl(server, windows.FSCTL_PIPE_PEEK, nil, out))
		for range 3 {
			does(t, m, &op, len(out), nil)
			if string(out[headBytes:]) != "data" {
				t.Errorf("%q", out)
			}
			clear(out)
		}
	})
}

// datagramSocket is a socket that can be written to, and has nothing to read. The end of the test closes it.
func datagramSocket(t *testing.T) windows.Handle {
	t.Helper()
	socket := newDatagramSocket(t)
	own(t, Handle(socket))
	return socket
}

func newDatagramSocket(t *testing.T) windows.Handle {
	t.Helper()
	if err := win32.StartWinsock(); err != nil {
		t.Fatal(err)
	}
	socket, err := windows.WSASocket(windows.AF_INET, windows.SOCK_DGRAM, 0, nil, 0, windows.WSA_FLAG_OVERLAPPED)
	if err == nil {
		err = windows.Bind(socket, &windows.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return socket
}

// TestOverlapped_AFDPoll: DeviceIoControl with input and output, that is over at once, or waits and is cancelled.
func TestOverlapped_AFDPoll(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		device, err := win32.OpenAFD()
		if err != nil {
			t.Fatal(err)
		}
		h := pipeSort{}.attach(t, m, device)
		socket := datagramSocket(t)
		poll := &win32.AFDPoll{}
		op := Overlapped("DeviceIoControl", h, 0, func(ov *windows.Overlapped) Started { return Unchecked(win32.PollAFD(device, poll, ov)) })
		for _, events := range []uint32{win32.AFDSend, win32.AFDReceive, win32.AFDSend} {
			*poll = win32.AFDPoll{Timeout: win32.NoTimeout, Handles: 1, Socket: socket, Events: events}
			if events == win32.AFDReceive {
				cancelled(t, m, &op)
				continue
			}
			n, err := m.Do(context.Background(), &op)
			if n == 0 || err != nil || poll.Events != events {
				t.Errorf("%d, %v, events %#x", n, err, poll.Events)
			}
		}
	})
}

// lockedFile is a file, opened twice.
func lockedFile(t *testing.T, m *Manager, s pipeSort) (one, two Handle) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	var hs [2]Handle
	for i := range hs {
		name, err := windows.UTF16PtrFromString(path)
		if err != nil {
			t.Fatal(err)
		}
		h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil,
			windows.OPEN_EXISTING, s.flags(), 0)
		if err != nil {
			t.Fatal(err)
		}
		hs[i] = s.attach(t, m, h)
	}
	return hs[0], hs[1]
}

// locking is an operation that locks byte off of a file.
func locking(h Handle, off int64, flags uint32) Op {
	return Overlapped("LockFileEx", h, off, func(ov *windows.Overlapped) Started {
		return Unchecked(windows.LockFileEx(windows.Handle(h), flags|windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, ov))
	})
}

func unlocking(h Handle, off int64) Op {
	return Overlapped("UnlockFileEx", h, off, func(ov *windows.Overlapped) Started {
		if err := windows.UnlockFileEx(windows.Handle(h), 0, 1, 0, ov); err != nil {
			return Failed(err)
		}
		return Done(0)
	})
}

// TestOverlapped_LockFileEx: a lock that is free is had at once, at its offset; one that is not is refused to who won't wait.
func TestOverlapped_LockFileEx(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		one, two := lockedFile(t, m, s)
		const refused = windows.LOCKFILE_FAIL_IMMEDIATELY
		for _, off := range []int64{0, 7, 1 << 40} {
			does(t, m, ref(locking(one, off, 0)), 0, nil)
			does(t, m, ref(locking(two, off, refused)), 0, windows.ERROR_LOCK_VIOLATION)
			does(t, m, ref(locking(two, off+1, refused)), 0, nil)
			does(t, m, ref(unlocking(two, off+1)), 0, nil)
			does(t, m, ref(unlocking(one, off)), 0, nil)
		}
	})
}

// TestOverlapped_ContendedLockOnlyOnWindows: it is waited for, cancelled, and had when the other lets go.
func TestOverlapped_ContendedLockOnlyOnWindows(t *testing.T) {
	onlyOnWindows(t, "a contended LockFileEx never completes, and can't be cancelled")
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		one, two := lockedFile(t, m, s)
		does(t, m, ref(locking(one, 0, 0)), 0, nil)
		op := locking(two, 0, 0)
		cancelled(t, m, &op)
		expectResult(t, 0, nil)(meanwhile(t, m, &op, func() { does(t, m, ref(unlocking(one, 0)), 0, nil) }))
		does(t, m, ref(unlocking(two, 0)), 0, nil)
	})
}

// TestHazard30OverflowIsNoBytes: changes that did not fit into the buffer are reported as a success without bytes, and the next call reports
// the next changes.
func TestHazard30OverflowIsNoBytes(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		dir := t.TempDir()
		h := watchedDir(t, m, dir)
		changes := make(win32test.Changes, 8) // it takes one short name
		op := Overlapped("ReadDirectoryChanges", h, 0, func(ov *windows.Overlapped) Started {
			return Unchecked(changes.Read(windows.Handle(h), ov))
		})
		create := func(name string) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				t.Error(err)
			}
		}
		expectResult(t, 0, nil)(meanwhile(t, m, &op, func() { create("a name that is longer than the buffer") }))
		for i := 0; ; i++ { // each gives the call something to report; it may still be more than fits
			n, err := meanwhile(t, m, &op, func() { create(strconv.Itoa(i)) })
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				if _, err := strconv.Atoi(changes.Name()); err != nil {
					t.Error(err)
				}
				break
			}
		}
	})
}

// onlyOnWindows skips a test that Wine can't pass. Its name says so, and docs/semantics.md lists it.
func onlyOnWindows(t *testing.T, wine string) {
	t.Helper()
	if win32.UnderWine() {
		t.Skip("only Windows can show this; on Wine " + wine)
	}
}
