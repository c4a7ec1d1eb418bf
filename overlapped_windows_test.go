package ringport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"

	"github.com/ringport/ringport/internal/win32/win32test"
)

const fsctlSetSparse = 0x900c4

func bothWays(t *testing.T, f func(t *testing.T, m *Manager)) {
	for _, owned := range []bool{false, true} {
		name := "threaded"
		if owned {
			name = "caller-driven"
		}
		t.Run(name, func(t *testing.T) {
			m, err := New(Config{CallerDriven: owned})
			if err != nil {
				t.Fatal(err)
			}
			f(t, m)
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOverlappedDeviceIoControl(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		for _, flags := range []uint32{windows.FILE_FLAG_OVERLAPPED, 0} {
			name, _ := windows.UTF16PtrFromString(filepath.Join(t.TempDir(), "file"))
			h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.CREATE_NEW, flags, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer windows.CloseHandle(h)
			if err := m.Attach(Handle(h)); (err != nil) != (flags == 0) {
				t.Fatal(err)
			}
			op := Overlapped("DeviceIoControl", Handle(h), 0, func(ov *windows.Overlapped) Started {
				return Unchecked(windows.DeviceIoControl(h, fsctlSetSparse, nil, 0, nil, 0, nil, ov))
			})
			for range 3 {
				if n, err := m.Do(context.Background(), &op); n != 0 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
			bad := Overlapped("DeviceIoControl", Handle(h), 0, func(ov *windows.Overlapped) Started {
				return Unchecked(windows.DeviceIoControl(h, 0xdead0000, nil, 0, nil, 0, nil, ov))
			})
			_, err = m.Do(context.Background(), &bad)
			if op := (*OpError)(nil); !errors.As(err, &op) || op.Op != "DeviceIoControl" {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestOverlappedReadsAtOffset: the OVERLAPPED has the offset, and its end of file is io.EOF.
func TestOverlappedReadsAtOffset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o666); err != nil {
		t.Fatal(err)
	}
	bothWays(t, func(t *testing.T, m *Manager) {
		f, err := m.Open(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, 4)
		op := Overlapped("ReadFile", Handle(f.Fd()), 8, func(ov *windows.Overlapped) Started {
			if ov.HEvent != 0 {
				t.Error("a thread waits: the file is not attached")
			}
			return Unchecked(win32.ReadFile(windows.Handle(f.Fd()), &buf[0], 4, nil, ov))
		})
		if n, err := m.Do(context.Background(), &op); n != 2 || err != nil || string(buf[:2]) != "89" {
			t.Errorf("%d, %v, %q", n, err, buf)
		}
		end := Overlapped("ReadFile", Handle(f.Fd()), 10, func(ov *windows.Overlapped) Started {
			return Unchecked(win32.ReadFile(windows.Handle(f.Fd()), &buf[0], 4, nil, ov))
		})
		if n, err := m.Do(context.Background(), &end); n != 0 || err == nil || !errors.Is(err, io.EOF) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// TestOverlappedReadDirectoryChanges: it pends, is cancelled, and reports.
func TestOverlappedReadDirectoryChanges(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		dir := t.TempDir()
		h := watchedDir(t, m, dir)
		changes := make(win32test.Changes, 1024)
		var then func() // what happens once it pends; what changes before a first call is nobody's
		op := Overlapped("ReadDirectoryChanges", h, 0, func(ov *windows.Overlapped) Started {
			defer func() { m.AfterFunc(0, then) }()
			return Unchecked(changes.Read(windows.Handle(h), ov))
		})
		ctx, cancel := context.WithCancel(context.Background())
		then = cancel
		if n, err := m.Do(ctx, &op); n != 0 || !errors.Is(err, context.Canceled) {
			t.Fatalf("%d, %v", n, err)
		}
		then = func() { os.WriteFile(filepath.Join(dir, "new"), nil, 0o666) }
		n, err := m.Do(context.Background(), &op)
		if err != nil || n == 0 {
			t.Fatalf("%d, %v", n, err)
		}
		if changes.Name() != "new" {
			t.Errorf("%q", changes.Name())
		}
	})
}

// watchedDir opens a folder for ReadDirectoryChanges.
func watchedDir(t *testing.T, m *Manager, dir string) Handle {
	t.Helper()
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		t.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.FILE_LIST_DIRECTORY, share, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pipeSort{}.attach(t, m, h)
}

// returns calls f on a goroutine of its own, which it may end, or panic with "start" and nothing else, and reports whether it returned.
func returns(t *testing.T, f func()) (returned bool) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if why := recover(); why != nil && why != "start" {
				t.Error(why)
			}
		}()
		f()
		returned = true
	}()
	<-ended
	return returned
}

// TestLaw1_StartDoesNotReturn: a start function panics or ends its goroutine, before its call or after it. Whoever started the operation learns of
// it, the operation is over or has not begun, and everything goes on: the operation, the handle, the manager, and its Close.
func TestLaw1_StartDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("start") }, "Goexit": runtime.Goexit} {
		for _, called := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, called %v", name, called), func(t *testing.T) {
				onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
					if s.synchronous && (name == "panic" || called) {
						return // on a goroutine of the manager's a panic ends the program; and a synchronous call would wait
					}
					if name == "Goexit" && !m.shared && !s.synchronous {
						return // see TestLaw4_OwnerEnds
					}
					leaves(t, m, s, leave, called)
				})
			})
		}
	}
}

// leaves has a start function leave three times, and after each time do what it should.
func leaves(t *testing.T, m *Manager, s pipeSort, leave func(), called bool) {
	server, client := rawPair(t, m, s)
	buf := make([]byte, 4)
	bad := true
	op := Overlapped("ReadFile", server, 0, func(ov *windows.Overlapped) Started {
		if bad && !called {
			leave()
		}
		err := windows.ReadFile(windows.Handle(server), buf, new(uint32), ov)
		if bad {
			leave()
		}
		return Unchecked(err)
	})
	for range 3 {
		bad = true
		switch {
		case s.synchronous: // on a worker
			does(t, m, &op, 0, ErrNoReturn)
		case m.shared:
			if returns(t, func() { m.Do(context.Background(), &op) }) || returns(t, func() { m.Start(&op, func(*Op) { t.Error("called back") }) }) ||
				returns(t, func() { m.DoChain(context.Background(), &op, ref(Nop())) }) {
				t.Error("nobody was told")
			}
		default:
			result := start(t, m, &op)
			func() {
				defer func() {
					if recover() != "start" {
						t.Error("nobody was told")
					}
				}()
				m.Step(-1)
			}()
			if r := receive(t, m, result); r.n != 0 || !errors.Is(r.err, ErrNoReturn) {
				t.Errorf("%+v", r)
			}
		}
		bad = false
		putRaw(t, client, "data")
		does(t, m, &op, 4, nil)
	}
	if n := m.Stats().InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
}

// TestLaw4_OwnerEnds: a start function ends the goroutine that owns its manager. What that one has deferred can still close the manager.
func TestLaw4_OwnerEnds(t *testing.T) {
	for _, called := range []bool{false, true} {
		if returns(t, func() {
			m, err := New(Config{CallerDriven: true})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}()
			server, _ := rawPair(t, m, pipeSort{})
			op := Overlapped("ReadFile", server, 0, func(ov *windows.Overlapped) Started {
				if called {
					windows.ReadFile(windows.Handle(server), make([]byte, 4), new(uint32), ov)
				}
				runtime.Goexit()
				return Done(0)
			})
			m.Do(context.Background(), &op)
		}) {
			t.Error("it did not end")
		}
	}
}

// TestClosedUnderAnOperation: the system's word for that is os.ErrClosed.
func TestClosedUnderAnOperation(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		socket := newDatagramSocket(t)
		attach(t, m, Handle(socket))
		op := Read(Handle(socket), make([]byte, 4), CurrentOffset)
		n, err := meanwhile(t, m, &op, func() { windows.Closesocket(socket) })
		if n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%d, %v", n, err)
		}
	})
}
