package ringport

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"
)

// The rows of the seed that are Windows alone, see seed_test.go. What CbNone means is a table in internal/driver/iocp.
func init() {
	seedRows = append(seedRows,
		seedRow{"withOverlapped, withOverlappedEx: any call", []func(*testing.T){TestSeed_withOverlapped}},
		seedRow{"LPOVERLAPPED, StartCallback, StartIOCallback", []func(*testing.T){TestSeed_StartCallback}},
		seedRow{"CbResult", []func(*testing.T){TestSeed_CbResult}},
		seedRow{"CompletionCallback: status, error and count", []func(*testing.T){TestSeed_CompletionCallback}},
	)
}

// seedFile is a file that holds ten digits.
func seedFile(t *testing.T, m *Manager, s pipeSort) Handle {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o666); err != nil {
		t.Fatal(err)
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, s.flags(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return s.attach(t, m, h)
}

// TestSeed_withOverlapped: a name for errors, a handle that is overlapped or not (withOverlappedEx), an offset, a function that starts and one
// that is told the result.
func TestSeed_withOverlapped(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		h := seedFile(t, m, s)
		for _, c := range []struct {
			off  int64
			want string
			err  error
		}{{0, "0123", nil}, {3, "3456", nil}, {8, "89", nil}, {10, "", io.EOF}, {1 << 33, "", io.EOF}} {
			buf := make([]byte, 4)
			op := Overlapped("ReadFile", h, c.off, func(ov *windows.Overlapped) Started {
				return Unchecked(windows.ReadFile(windows.Handle(h), buf, new(uint32), ov))
			})
			n, err := meanwhile(t, m, op.Named("the file"), func() {})
			expectResult(t, len(c.want), c.err)(n, err)
			if string(buf[:n]) != c.want {
				t.Errorf("at %d: %q, want %q", c.off, buf[:n], c.want)
			}
			if wrong := (*OpError)(nil); err != nil && (!errors.As(err, &wrong) || wrong.Op != "ReadFile" || wrong.Name != "the file") {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestSeed_StartCallback: start is called once for each start of the operation, with an OVERLAPPED that is new but for the offset, and
// not at all if the operation is cancelled, or its context over, before.
func TestSeed_StartCallback(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		h := seedFile(t, m, s)
		calls := 0
		buf := make([]byte, 4)
		op := Overlapped("ReadFile", h, 1<<32+5, func(ov *windows.Overlapped) Started {
			calls++
			if ov.HEvent == 0 != !s.synchronous || ov.InternalHigh != 0 || ov.Offset != 5 || ov.OffsetHigh != 1 {
				t.Errorf("%+v", ov)
			}
			ov.OffsetHigh = 0
			return Unchecked(windows.ReadFile(windows.Handle(h), buf, new(uint32), ov))
		})
		for i := range 3 {
			does(t, m, &op, 4, nil)
			if calls != i+1 || string(buf) != "5678" {
				t.Errorf("%d calls, %q", calls, buf)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if n, err := m.Do(ctx, &op); n != 0 || !errors.Is(err, context.Canceled) || calls != 3 {
			t.Errorf("%d, %v, %d calls", n, err, calls)
		}
		does(t, m, ref(Overlapped("nothing", h, 0, nil)), 0, ErrInvalidOp)
		if err := m.Start(&op, nil); !errors.Is(err, ErrNilCallback) || calls != 3 {
			t.Errorf("%v, %d calls", err, calls)
		}
	})
}

// TestSeed_CbResult: each thing that a start function may say (the seed's CbDone, CbPending, CbIncomplete, CbError, CbNone) of a call that is over
// at once, waits, or was refused.
func TestSeed_CbResult(t *testing.T) {
	refused := errors.New("refused")
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := s.pair(t, m)
		buf := make([]byte, 4)
		read := func(ov *windows.Overlapped) error {
			return windows.ReadFile(windows.Handle(server), buf, new(uint32), ov)
		}
		pends := func(how Started) func(ov *windows.Overlapped) Started {
			return func(ov *windows.Overlapped) Started {
				if err := read(ov); err != nil && err != windows.ERROR_IO_PENDING {
					return Failed(err)
				}
				return how
			}
		}
		for _, c := range []struct {
			name  string
			waits bool // for what the client writes then
			start func(ov *windows.Overlapped) Started
			n     int
			want  error
		}{
			{"CbDone", false, func(*windows.Overlapped) Started { return Done(7) }, 7, nil},
			{"CbError", false, func(*windows.Overlapped) Started { return Failed(refused) }, 0, refused},
			{"CbError, NTSTATUS", false, func(*windows.Overlapped) Started { return Failed(windows.STATUS_ACCESS_DENIED) }, 0,
				windows.ERROR_ACCESS_DENIED},
			{"CbPending", true, pends(Pending()), 4, nil},
			{"CbIncomplete", true, pends(Incomplete()), 4, nil},
			{"CbNone", true, func(ov *windows.Overlapped) Started { return Unchecked(read(ov)) }, 4, nil},
			{"CbNone, at once", false, func(ov *windows.Overlapped) Started {
				return Unchecked(windows.WriteFile(windows.Handle(client), []byte("data"), new(uint32), ov))
			}, 4, nil},
			{"CbNone, refused", false, func(*windows.Overlapped) Started { return Unchecked(windows.ERROR_NOT_SUPPORTED) }, 0,
				windows.ERROR_NOT_SUPPORTED},
		} {
			h := server
			if c.name == "CbNone, at once" {
				h = client
			}
			op := Overlapped(c.name, h, 0, c.start)
			for range 3 {
				n, err := meanwhile(t, m, &op, func() {
					if c.waits {
						does(t, m, ref(Write(client, []byte("data"), CurrentOffset)), 4, nil)
					}
				})
				if n != c.n || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || c.waits && string(buf) != "data" {
					t.Errorf("%s: %d, %v; %q", c.name, n, err, buf)
				}
				clear(buf)
			}
			if c.waits {
				cancelled(t, m, &op)
			}
		}
	})
}

// TestSeed_CompletionCallback: the callback is told bytes and error of what was waited for. The system says an NTSTATUS; the error is its
// translation, and bytes that moved are told beside it.
func TestSeed_CompletionCallback(t *testing.T) {
	onPipes(t, true, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := s.pair(t, m)
		buf := make([]byte, 4)
		op := Overlapped("ReadFile", server, 0, func(ov *windows.Overlapped) Started {
			return Unchecked(windows.ReadFile(windows.Handle(server), buf, new(uint32), ov))
		})
		put := func(message string) func() {
			return func() {
				does(t, m, ref(Write(client, []byte(message), CurrentOffset)), len(message), nil)
			}
		}
		expectResult(t, 4, nil)(meanwhile(t, m, &op, put("data")))
		expectResult(t, 4, syscall.Errno(windows.ERROR_MORE_DATA))(meanwhile(t, m, &op, put("too long"))) // STATUS_BUFFER_OVERFLOW
		expectResult(t, 4, nil)(meanwhile(t, m, &op, func() {}))
		expectResult(t, 0, nil)(meanwhile(t, m, &op, put("")))
		expectResult(t, 0, windows.ERROR_BROKEN_PIPE)(meanwhile(t, m, &op, func() { does(t, m, closing(client), 0, nil) }))
	})
}
