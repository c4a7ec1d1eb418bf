package ringport

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

// fails runs an operation that must fail, as an *OpError that matches want.
func fails(t *testing.T, m *Manager, name string, want error, set func(op *Op)) {
	t.Helper()
	n, err := m.Do(context.Background(), ptr(set))
	checkTyped(t, name, n, err, want)
}

func checkTyped(t *testing.T, name string, n int, err, want error) {
	t.Helper()
	var op *OpError
	if n != 0 || !errors.As(err, &op) || !errors.Is(err, want) || op.Op == "" || op.Name == "" || op.Err == nil {
		t.Errorf("%s: %d, %#v (%v); want %v", name, n, err, err, want)
	}
}

func TestBadInput_ClosedManager(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := tempFile(t, m, []byte("content"))
		h := Handle(f.Fd())
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		never := func(*Op) { t.Error("called") }
		for name, err := range map[string]error{
			"Start":           m.Start(nop(), never),
			"StartChain":      m.StartChain(never, nop(), nop()),
			"DoChain":         m.DoChain(context.Background(), nop(), nop()),
			"DoChain, synced": m.DoChain(context.Background(), writeOp(h, "never", 0), ptr(func(op *Op) { *op = Fsync(h) })),
			"RegisterBuffers": m.RegisterBuffers([][]byte{make([]byte, 4096)}),
			"RegisterFiles":   m.RegisterFiles([]Handle{h}),
			"Attach":          m.Attach(h),
			"Detach":          m.Detach(h),
		} {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s does not match os.ErrClosed: %v", name, err)
			}
			checkTyped(t, name, 0, err, ErrManagerClosed)
		}
		fails(t, m, "Do", ErrManagerClosed, func(op *Op) { *op = Nop() })
		fails(t, m, "Do on a file", ErrManagerClosed, func(op *Op) { *op = Read(h, make([]byte, 4), 0) })
		if err := m.Flush(); !errors.Is(err, ErrManagerClosed) {
			t.Errorf("Flush: %v", err)
		}
		want := ErrManagerClosed
		if m.shared {
			want = ErrNotCallerDriven
		}
		if ran, err := m.Step(0); ran != 0 || err != want {
			t.Errorf("Step: %d, %v", ran, err)
		}
		m.Wake()
		m.Cancel(nop())
		timeout := m.AfterFunc(0, func() { t.Error("fired") })
		if timeout.Reset(0) || timeout.Stop() {
			t.Error("pending")
		}
		if d, ok := m.NextTimeout(); ok {
			t.Errorf("NextTimeout: %v", d)
		}
		if h, ok := m.Pollable(); ok {
			t.Errorf("Pollable: %v", h)
		}
		if s := m.Stats(); s.InFlight != 0 || s.PendingTimeouts != 0 || s.Workers != 0 || s.Threads != 0 {
			t.Errorf("%+v", s)
		}
		if err := m.Close(); err != ErrManagerClosed {
			t.Errorf("Close: %v", err)
		}
		if content, err := os.ReadFile(f.Name()); string(content) != "content" || err != nil {
			t.Errorf("%q, %v", content, err)
		}
	})
}

// badHandles are no open descriptors, though some would be one if they were cut to 32 bits.
func badHandles(good Handle) map[string]Handle {
	all := map[string]Handle{
		"minus one":                  ^Handle(0),
		"never opened":               999_999,
		"the current folder":         CurrentDir,
		"a registered file, of none": RegisteredFile(0),
		"a negative registered file": RegisteredFile(-1),
		"a registered file too far":  RegisteredFile(1 << 30),
	}
	if high := uint64(1)<<40 | uint64(good); uint64(uintptr(high)) == high {
		all["good in the low half"] = Handle(high)
		all["registered in the low half"] = Handle(uint64(1)<<40 | uint64(RegisteredFile(0)))
	}
	return all
}

func TestBadInput_Handles(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		good := Handle(tempFile(t, m, []byte("content")).Fd())
		r, w := pipe(t, m)
		for name, h := range badHandles(good) {
			for what, set := range map[string]func(op *Op){
				"read":        func(op *Op) { *op = Read(h, make([]byte, 8), 0) },
				"read here":   func(op *Op) { *op = Read(h, make([]byte, 8), CurrentOffset) },
				"write":       func(op *Op) { *op = Write(h, make([]byte, 8), 0) },
				"readv":       func(op *Op) { *op = Readv(h, [][]byte{make([]byte, 8)}, 0) },
				"writev":      func(op *Op) { *op = Writev(h, [][]byte{make([]byte, 8)}, 0) },
				"splice from": func(op *Op) { *op = Splice(h, CurrentOffset, w, CurrentOffset, 8, 0) },
				"splice to":   func(op *Op) { *op = Splice(r, CurrentOffset, h, CurrentOffset, 8, 0) },
				"fsync":       func(op *Op) { *op = Fsync(h) },
				"fdatasync":   func(op *Op) { *op = Fdatasync(h) },
				"fallocate":   func(op *Op) { *op = Fallocate(h, 0, 0, 8) },
				"truncate":    func(op *Op) { *op = Truncate(h, 8) },
				"fadvise":     func(op *Op) { *op = Fadvise(h, 0, 8, 0) },
				"poll":        func(op *Op) { *op = PollReady(h, PollIn) },
				"close":       func(op *Op) { *op = CloseHandle(h) },
			} {
				if runtime.GOOS != "linux" && (strings.HasPrefix(what, "splice") || what == "fallocate" || what == "fadvise") {
					continue // not there
				}
				n, err := m.Do(context.Background(), ptr(set))
				if name == "a registered file, of none" || what == "truncate" && h == CurrentDir {
					// Whether a table that is empty, or a number that is odd, is no table or no file: EBADF, ENXIO, EINVAL.
					checkTyped(t, what+" of "+name, n, err, err)
					continue
				}
				checkTyped(t, what+" of "+name, n, err, errBadHandle)
			}
			if _, registered := h.Registered(); registered || h == CurrentDir {
				checkTyped(t, "register "+name, 0, m.RegisterFiles([]Handle{good, h}), errBadHandle)
				continue // these may stand where a folder does
			}
			for what, set := range map[string]func(op *Op){
				"open in":   func(op *Op) { *op = OpenAt(h, "x", os.O_RDONLY, 0) },
				"stat in":   func(op *Op) { *op = StatAt(h, "x", 0, new(FileStat)) },
				"stat":      func(op *Op) { *op = StatAt(h, "", 0, new(FileStat)) },
				"unlink in": func(op *Op) { *op = UnlinkAt(h, "x", 0) },
				"mkdir in":  func(op *Op) { *op = MkdirAt(h, "x", 0o700) },
				"rename in": func(op *Op) { *op = RenameAt(h, "x", CurrentDir, "y", 0) },
				"link in":   func(op *Op) { *op = LinkAt(h, "x", CurrentDir, "y", 0) },
			} {
				fails(t, m, what+" of "+name, errBadHandle, set)
			}
			checkTyped(t, "attach "+name, 0, m.Attach(h), errBadHandle)
			checkTyped(t, "detach "+name, 0, m.Detach(h), errBadHandle)
			if h != ^Handle(0) { // a place that stays empty
				checkTyped(t, "register "+name, 0, m.RegisterFiles([]Handle{good, h}), errBadHandle)
			}
		}
		checkTyped(t, "attach the current folder", 0, m.Attach(CurrentDir), errBadHandle)
		if err := m.Attach(good); err != nil {
			t.Error(err)
		}
	})
}

func TestBadInput_StartedTwice(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m, other := open(t, c), open(t, Config{Backend: c.Backend})
		r, w := pipe(t, m)
		op := Read(r, make([]byte, 8), CurrentOffset)
		ch := start(t, m, &op)
		never := func(*Op) { t.Error("called") }
		checkTyped(t, "Start", 0, m.Start(&op, never), ErrInFlight)
		n, err := m.Do(context.Background(), &op)
		checkTyped(t, "Do", n, err, ErrInFlight)
		checkTyped(t, "Start on another manager", 0, other.Start(&op, never), ErrInFlight)
		checkTyped(t, "DoChain", 0, m.DoChain(context.Background(), nop(), &op), ErrInFlight)
		put(t, w, "once")
		if res := receive(t, m, ch); res.n != 4 || res.err != nil {
			t.Errorf("%+v", res)
		}
		put(t, w, "again")
		if n := do(t, other, &op); n != 5 {
			t.Errorf("%d", n)
		}
	})
}

// TestBadInput_StartedTwiceAtOnce lets goroutines race for one Op: one of them gets it.
func TestBadInput_StartedTwiceAtOnce(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		for range 200 {
			op := Read(r, make([]byte, 8), CurrentOffset)
			const racers = 4
			errs, done := make(chan error, racers), make(chan bool, racers)
			for range racers {
				go func() { errs <- m.Start(&op, func(*Op) { done <- true }) }()
			}
			won := 0
			for range racers {
				if err := <-errs; err == nil {
					won++
				} else if !errors.Is(err, ErrInFlight) {
					t.Error(err)
				}
			}
			if won != 1 {
				t.Fatalf("%d starts succeeded", won)
			}
			put(t, w, "x")
			receive(t, m, done)
		}
	})
}

func TestBadInput_NilCallback(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		op := Nop()
		checkTyped(t, "Start", 0, m.Start(&op, nil), ErrNilCallback)
		if s := m.Stats(); s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		do(t, m, &op)
	})
}

func TestBadInput_EmptyBuffers(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := Handle(tempFile(t, m, []byte("content")).Fd())
		r, w := pipe(t, m) // nothing in it: a read of nothing must not wait
		for name, set := range map[string]func(op *Op){
			"read into nil":          func(op *Op) { *op = Read(f, nil, 0) },
			"read into nothing":      func(op *Op) { *op = Read(f, []byte{}, 0) },
			"read past the end":      func(op *Op) { *op = Read(f, nil, 100) },
			"write of nil":           func(op *Op) { *op = Write(f, nil, 100) },
			"write of nothing":       func(op *Op) { *op = Write(f, make([]byte, 0, 8), 100) },
			"readv into nil":         func(op *Op) { *op = Readv(f, nil, 0) },
			"readv into empty ones":  func(op *Op) { *op = Readv(f, [][]byte{nil, {}}, 0) },
			"writev of nil":          func(op *Op) { *op = Writev(f, nil, 0) },
			"writev of empty ones":   func(op *Op) { *op = Writev(f, [][]byte{{}, nil}, 0) },
			"read a pipe into nil":   func(op *Op) { *op = Read(r, nil, CurrentOffset) },
			"readv a pipe into nil":  func(op *Op) { *op = Readv(r, [][]byte{nil}, CurrentOffset) },
			"write nil into a pipe":  func(op *Op) { *op = Write(w, nil, CurrentOffset) },
			"writev nil into a pipe": func(op *Op) { *op = Writev(w, [][]byte{nil}, CurrentOffset) },
		} {
			if n, err := m.Do(context.Background(), ptr(set)); n != 0 || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		}
		stat := new(FileStat)
		do(t, m, ptr(func(op *Op) { *op = StatAt(f, "", 0, stat) }))
		if stat.SizeBytes != 7 {
			t.Errorf("the file has %d bytes", stat.SizeBytes)
		}
	})
}

// TestBadInput_HugeBuffer writes more than a gigabyte, from memory that is never touched, to where nothing is kept.
func TestBadInput_HugeBuffer(t *testing.T) {
	huge := untouched(t, MaxTransferBytes+4096)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		op := Write(Handle(null.Fd()), huge, CurrentOffset)
		if n := do(t, m, &op); n != MaxTransferBytes {
			t.Errorf("%d bytes", n)
		}
	})
}

func TestBadInput_NegativeOffset(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := Handle(tempFile(t, m, []byte("content")).Fd())
		for _, off := range []int64{-2, -1000, math.MinInt64} {
			for name, set := range map[string]func(op *Op){
				"read":      func(op *Op) { *op = Read(f, make([]byte, 8), off) },
				"write":     func(op *Op) { *op = Write(f, make([]byte, 8), off) },
				"readv":     func(op *Op) { *op = Readv(f, [][]byte{make([]byte, 8)}, off) },
				"writev":    func(op *Op) { *op = Writev(f, [][]byte{make([]byte, 8)}, off) },
				"fallocate": func(op *Op) { *op = Fallocate(f, 0, off, 8) },
				"fadvise":   func(op *Op) { *op = Fadvise(f, off, 8, 0) },
			} {
				fails(t, m, name, ErrNegativeOffset, set)
				fails(t, m, name, fs.ErrInvalid, set)
			}
		}
		fails(t, m, "truncate", errInvalid, func(op *Op) { *op = Truncate(f, -1) })
		if runtime.GOOS == "linux" {
			fails(t, m, "fallocate", errInvalid, func(op *Op) { *op = Fallocate(f, 0, 0, -8) })
			fails(t, m, "fallocate", errInvalid, func(op *Op) { *op = Fallocate(f, 0, 0, 0) })
			fails(t, m, "fadvise", errInvalid, func(op *Op) { *op = Fadvise(f, 0, -8, 0) })
		}
	})
}

func TestBadInput_ContextOverBefore(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := tempFile(t, m, nil)
		over, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
		defer cancel()
		op := Write(Handle(f.Fd()), []byte("never"), 0)
		n, err := m.Do(over, &op)
		checkTyped(t, "Do", n, err, context.DeadlineExceeded)
		if !os.IsTimeout(err) {
			t.Errorf("%v is no timeout", err)
		}
		checkTyped(t, "DoChain", 0, m.DoChain(over, &op, nop()), context.DeadlineExceeded)
		if s := m.Stats(); s.Completed != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
		if content, err := os.ReadFile(f.Name()); len(content) != 0 || err != nil {
			t.Errorf("%q, %v", content, err)
		}
	})
}

func TestBadInput_Config(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for _, depth := range []int{0, 1, 2, 3, 1000, MaxDepth} {
			c := c
			c.Depth = depth
			m := open(t, c)
			do(t, m, nop())
			if err := m.Close(); err != nil {
				t.Errorf("depth %d: %v", depth, err)
			}
		}
		for _, test := range []struct {
			field string
			set   func(c *Config)
		}{
			{"Depth", func(c *Config) { c.Depth = -1 }},
			{"Depth", func(c *Config) { c.Depth = MaxDepth + 1 }},
			{"Depth", func(c *Config) { c.Depth = math.MaxInt }},
			{"MinWorkers", func(c *Config) { c.MinWorkers = -1 }},
			{"MaxWorkers", func(c *Config) { c.MaxWorkers = -1 }},
			{"MaxWorkers", func(c *Config) { c.MinWorkers, c.MaxWorkers = 3, 2 }},
			{"MaxWorkers", func(c *Config) { c.MaxWorkers = math.MaxInt }},
			{"MaxThreads", func(c *Config) { c.MaxThreads = math.MinInt }},
			{"Backend", func(c *Config) { c.Backend = "bogus" }},
			{"Backend", func(c *Config) { c.Backend = "IO_URING" }},
		} {
			c := c
			test.set(&c)
			checkConfigError(t, c, test.field)
		}
		c.Backend = ""
		t.Setenv(BackendVariable, "bogus")
		checkConfigError(t, c, BackendVariable)
	})
}

func checkConfigError(t *testing.T, c Config, field string) {
	t.Helper()
	m, err := New(c)
	if m != nil {
		m.Close()
	}
	var config *ConfigError
	if !errors.As(err, &config) || config.Field != field || config.Reason == "" || !errors.Is(err, fs.ErrInvalid) ||
		!strings.Contains(err.Error(), field) {
		t.Errorf("%+v: %#v", c, err)
	}
}

func TestBadInput_StepOnThreaded(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		if ran, err := m.Step(0); ran != 0 || err != ErrNotCallerDriven {
			t.Errorf("%d, %v", ran, err)
		}
		if h, ok := m.Pollable(); ok {
			t.Errorf("pollable: %v", h)
		}
		do(t, m, nop())
	})
}

func TestBadInput_ZeroOp(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		var op Op
		if n, err := op.Result(); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if n := do(t, m, &op); n != 0 {
			t.Errorf("%d", n)
		}
		if res := receive(t, m, start(t, m, &op)); res != (result{}) {
			t.Errorf("%+v", res)
		}
	})
}

// TestBadInput_NotByAConstructor: what only this package can make by mistake.
func TestBadInput_NotByAConstructor(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for k := driver.Kind(0); k < driver.KindCount+3; k++ {
			switch k {
			case driver.Nop, driver.Read, driver.Write, driver.Fsync, driver.Fdatasync, driver.Fallocate, driver.Truncate,
				driver.Fadvise, driver.Close, driver.Poll, driver.Recv, driver.Send, driver.Socket, driver.Listen, driver.Accept, driver.Shutdown:
				continue // do without Ext
			}
			set := func(op *Op) { *op = Op{req: driver.Request{Kind: k}} }
			fails(t, m, k.String(), ErrInvalidOp, set)
			fails(t, m, k.String(), fs.ErrInvalid, set)
			checkTyped(t, k.String(), 0, m.Start(ptr(set), func(*Op) { t.Error("called") }), ErrInvalidOp)
		}
		if s := m.Stats(); s.InFlight != 0 || s.Completed != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestBadInput_EmptyPath: there is nothing of that name, which the error has, as package os's has.
func TestBadInput_EmptyPath(t *testing.T) {
	good := named(t, nil)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		_, err := m.Open(t.Context(), "")
		for name, bad := range map[string]struct {
			err  error
			name string
		}{
			"Open":        {err, ""},
			"open":        {second(m.Do(t.Context(), ptr(func(op *Op) { *op = OpenAt(CurrentDir, "", os.O_RDWR|os.O_CREATE, 0o600) }))), ""},
			"unlink":      {second(m.Do(t.Context(), ptr(func(op *Op) { *op = UnlinkAt(CurrentDir, "", 0) }))), ""},
			"mkdir":       {second(m.Do(t.Context(), ptr(func(op *Op) { *op = MkdirAt(CurrentDir, "", 0o700) }))), ""},
			"rename from": {second(m.Do(t.Context(), ptr(func(op *Op) { *op = RenameAt(CurrentDir, "", CurrentDir, good, 0) }))), ""},
			"rename to":   {second(m.Do(t.Context(), ptr(func(op *Op) { *op = RenameAt(CurrentDir, good, CurrentDir, "", 0) }))), good},
			"link from":   {second(m.Do(t.Context(), ptr(func(op *Op) { *op = LinkAt(CurrentDir, "", CurrentDir, good+"2", 0) }))), ""},
			"link to":     {second(m.Do(t.Context(), ptr(func(op *Op) { *op = LinkAt(CurrentDir, good, CurrentDir, "", 0) }))), good},
		} {
			var op *OpError
			if !errors.As(bad.err, &op) || op.Name != bad.name || op.Error() != op.Op+" "+bad.name+": "+op.Err.Error() || !errors.Is(op, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, bad.err)
			}
		}
	})
}

func TestBadInput_Paths(t *testing.T) {
	dir := t.TempDir()
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, bad := range []struct {
			path string
			want error
		}{
			{filepath.Join(dir, "a\x00b"), syscall.EINVAL},
			{"\x00", syscall.EINVAL},
			{filepath.Join(dir, strings.Repeat("n", 300)), errLongName},
			{dir + strings.Repeat("/x", 5000), errLongPath},
		} {
			good := filepath.Join(dir, "good")
			if err := os.WriteFile(good, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for name, set := range map[string]func(op *Op){
				"open":        func(op *Op) { *op = OpenAt(CurrentDir, bad.path, os.O_RDWR|os.O_CREATE, 0o600) },
				"unlink":      func(op *Op) { *op = UnlinkAt(CurrentDir, bad.path, 0) },
				"mkdir":       func(op *Op) { *op = MkdirAt(CurrentDir, bad.path, 0o700) },
				"rename from": func(op *Op) { *op = RenameAt(CurrentDir, bad.path, CurrentDir, good, 0) },
				"rename to":   func(op *Op) { *op = RenameAt(CurrentDir, good, CurrentDir, bad.path, 0) },
				"link from":   func(op *Op) { *op = LinkAt(CurrentDir, bad.path, CurrentDir, good+"2", 0) },
				"link to":     func(op *Op) { *op = LinkAt(CurrentDir, good, CurrentDir, bad.path, 0) },
				"stat":        func(op *Op) { *op = StatAt(CurrentDir, bad.path, 0, new(FileStat)) },
			} {
				fails(t, m, name+" "+bad.path[:min(len(bad.path), 40)], bad.want, set)
			}
			if _, err := os.Stat(good); err != nil {
				t.Error(err)
			}
		}
		fails(t, m, "stat into nil", errFault, func(op *Op) { *op = StatAt(CurrentDir, dir, 0, nil) })
	})
}

func TestBadInput_Vectors(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := Handle(tempFile(t, m, make([]byte, 2000)).Fd())
		bufs := make([][]byte, 1025)
		for i := range bufs {
			bufs[i] = make([]byte, 1)
		}
		fails(t, m, "readv", errInvalid, func(op *Op) { *op = Readv(f, bufs, 0) })
		fails(t, m, "writev", errInvalid, func(op *Op) { *op = Writev(f, bufs, 0) })
		if n := do(t, m, ptr(func(op *Op) { *op = Readv(f, bufs[:1024], 0) })); n != 1024 {
			t.Errorf("%d bytes", n)
		}
	})
}

func TestBadInput_FixedBuffers(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := Handle(tempFile(t, m, []byte("content")).Fd())
		memory := make([]byte, 3*4096)
		for name, set := range map[string]func(op *Op){
			"read with none registered":  func(op *Op) { *op = ReadFixed(f, 0, memory[:8], 0) },
			"write with none registered": func(op *Op) { *op = WriteFixed(f, 0, memory[:8], 0) },
		} {
			fails(t, m, name, errFault, set)
		}
		if err := m.RegisterBuffers([][]byte{memory[:4096], memory[4096:8192]}); err != nil {
			t.Fatal(err)
		}
		if n := do(t, m, ptr(func(op *Op) { *op = ReadFixed(f, 1, memory[5000:5100], 0) })); n != 7 || string(memory[5000:5007]) != "content" {
			t.Errorf("%d, %q", n, memory[5000:5007])
		}
		for name, index := range map[string]int{"not registered": 2, "negative": -1, "beyond 16 bits": 1 << 16, "beyond 16 bits, and one": 1<<16 + 1} {
			fails(t, m, "read, index "+name, errFault, func(op *Op) { *op = ReadFixed(f, index, memory[:8], 0) })
			fails(t, m, "write, index "+name, errFault, func(op *Op) { *op = WriteFixed(f, index, memory[:8], 0) })
		}
		fails(t, m, "outside", errFault, func(op *Op) { *op = ReadFixed(f, 0, memory[8192:8200], 0) })
		fails(t, m, "another's", errFault, func(op *Op) { *op = ReadFixed(f, 0, memory[4096:4100], 0) })
		fails(t, m, "over the end", errFault, func(op *Op) { *op = ReadFixed(f, 1, memory[8190:8200], 0) })
		if err := m.RegisterBuffers(nil); err != nil {
			t.Fatal(err)
		}
		fails(t, m, "taken back", errFault, func(op *Op) { *op = ReadFixed(f, 0, memory[:8], 0) })
	})
}

// TestBadInput_NotTheOwner uses a caller-driven manager on another goroutine than its owner's. Io_uring tells; the others
// do not care who it is, as long as it is one at a time.
func TestBadInput_NotTheOwner(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		do(t, m, nop()) // now it has an owner
		r, w := pipe(t, m)
		op := Read(r, make([]byte, 8), CurrentOffset)
		ch := start(t, m, &op)
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		want, carriedOut := ErrNotOwner, int64(3)
		if c.Backend != BackendIOUring {
			want, carriedOut = nil, 4 // Do's as well
		}
		stray := nop()
		for _, call := range []struct {
			name string
			f    func() error
		}{
			{"Step", func() error { _, err := m.Step(0); return err }},
			{"RegisterFiles", func() error { return m.RegisterFiles(nil) }},
			{"Do", func() error { _, err := m.Do(context.Background(), stray); return err }},
			{"Close", func() error {
				if want == nil {
					return nil // it would
				}
				return m.Close()
			}},
		} {
			if err := onAnotherThread(call.f); !errors.Is(err, want) {
				t.Errorf("%s: %v", call.name, err)
			}
		}
		// The owner goes on.
		fired := make(chan bool, 1)
		m.AfterFunc(0, func() { fired <- true })
		receive(t, m, fired)
		put(t, w, "mine")
		if res := receive(t, m, ch); res.n != 4 || res.err != nil {
			t.Errorf("%+v", res)
		}
		do(t, m, nop())
		if s := m.Stats(); s.InFlight != 0 || s.Completed != carriedOut {
			t.Errorf("%+v", s)
		}
		do(t, m, stray)
	})
}
