package ringport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/patience"
)

func TestLaw6_NoSilentChoice(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		s := open(t, c).Stats()
		if s.Backend != c.Backend || s.Why != "chosen by Config.Backend" {
			t.Errorf("asked for %s by name: %q, %q", c.Backend, s.Backend, s.Why)
		}
		t.Setenv(BackendVariable, c.Backend)
		c.Backend = ""
		s = open(t, c).Stats()
		if s.Backend != os.Getenv(BackendVariable) || s.Why != "chosen by "+BackendVariable {
			t.Errorf("asked for by the environment: %q, %q", s.Backend, s.Why)
		}
	})
	t.Setenv(BackendVariable, "")
	m := open(t, Config{})
	s := m.Stats()
	if !strings.HasSuffix(s.Why, "best available") {
		t.Errorf("asked for nothing: %q, %q", s.Backend, s.Why)
	}
	if s.Backend != backends[0].name && !strings.Contains(s.Why, backends[0].name+" is not available") {
		t.Errorf("%q was not taken, and %q does not say why", backends[0].name, s.Why)
	}
}

// TestLaw7_BlockedCallbacks blocks many callbacks for good; nothing else may notice.
func TestLaw7_BlockedCallbacks(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		const blocked = 40
		release := make(chan struct{})
		entered := make(chan struct{}, blocked)
		ops := make([]Op, blocked)
		for i := range ops {
			block := func() { entered <- struct{}{}; <-release }
			if i%4 == 0 {
				m.AfterFunc(0, block)
			} else {
				ops[i] = Nop()
				if err := m.Start(&ops[i], func(*Op) { block() }); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range blocked {
			receive(t, m, entered)
		}
		for range 100 {
			op := Nop()
			do(t, m, &op)
			receive(t, m, start(t, m, &op))
			fired := make(chan bool, 1)
			m.AfterFunc(0, func() { fired <- true })
			receive(t, m, fired)
		}
		close(release)
	})
}

// TestLaw7_CallbacksMayDoAnything calls every method from callbacks. A lock held around a callback would show as a hang.
func TestLaw7_CallbacksMayDoAnything(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		done := make(chan struct{}, 1)
		try := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		everything := func() {
			nop := Nop()
			_, err := m.Do(context.Background(), &nop)
			try(err)
			read := Read(r, make([]byte, 1), CurrentOffset)
			ch := start(t, m, &read)
			m.Cancel(&read)
			if res := receiveNested(m, ch); !errors.Is(res.err, ErrCanceled) {
				t.Errorf("%+v", res)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			if _, err := m.Do(ctx, &read); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			a, b := Nop(), Nop()
			try(m.DoChain(context.Background(), &a, &b))
			timeout := m.AfterFunc(time.Hour, func() {})
			timeout.Reset(2 * time.Hour)
			if d, ok := m.NextTimeout(); !ok || d <= time.Hour {
				t.Errorf("next timeout %v, %v", d, ok)
			}
			timeout.Stop()
			m.Wake()
			try(m.Flush())
			try(m.Attach(r))
			detach(t, m, r)
			try(m.RegisterBuffers([][]byte{make([]byte, 4096)}))
			try(m.RegisterBuffers(nil))
			try(m.RegisterFiles([]Handle{r}))
			try(m.RegisterFiles(nil))
			m.Pollable()
			m.Stats()
			if _, err := m.Step(0); m.shared != (err == ErrNotCallerDriven) {
				t.Error(err)
			}
			done <- struct{}{}
		}
		op := Nop()
		try(m.Start(&op, func(*Op) { everything() }))
		receive(t, m, done)
		put(t, w, "x")
		op = Read(r, make([]byte, 1), CurrentOffset)
		try(m.Start(&op, func(*Op) { everything() }))
		receive(t, m, done)
		m.AfterFunc(0, everything)
		receive(t, m, done)
		closed := make(chan error, 1)
		m.AfterFunc(0, func() { closed <- m.Close() })
		try(receive(t, m, closed))
	})
}

// A Do inside a callback has a context of its own, and the outer one still ends the outer Do.
func TestLaw7_DoInACallbackOfDo(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, _ := pipe(t, m)
		outer, cancelOuter := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancelOuter()
		inner, cancelInner := context.WithCancel(context.Background())
		defer cancelInner()
		first := Nop()
		if err := m.Start(&first, func(*Op) {
			second := Nop()
			if _, err := m.Do(inner, &second); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		read := Read(r, make([]byte, 1), CurrentOffset)
		if _, err := m.Do(outer, &read); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		// The contexts are nothing to a later Step: it waits for what it is to wait for.
		nop := Nop()
		if _, err := m.Do(inner, &nop); err != nil {
			t.Error(err)
		}
		expired := false
		m.AfterFunc(5*time.Millisecond, func() { expired = true })
		m.AfterFunc(time.Millisecond, cancelInner)
		for !expired {
			if ran, err := m.Step(-1); err != nil || ran == 0 && !expired {
				t.Fatalf("Step ran %d callbacks, %v", ran, err)
			}
		}
	})
}

// TestLaw7_CallbackLeavesDo: a callback of a step of Do's panics or ends the goroutine. What Do waited for is not left to wait for ever.
func TestLaw7_CallbackLeavesDo(t *testing.T) {
	for name, leave := range waysOut {
		t.Run(name, func(t *testing.T) {
			forCallerDriven(t, func(t *testing.T, c Config) {
				left(t, func() {
					m := open(t, c)
					r, _ := pipe(t, m)
					op := Read(r, make([]byte, 8), CurrentOffset)
					defer func() {
						for m.Stats().InFlight != 0 {
							if _, err := m.Step(patience.Limit); err != nil {
								t.Error(err)
								return
							}
						}
						if _, err := op.Result(); !errors.Is(err, ErrCanceled) {
							t.Error(err)
						}
						if err := m.Close(); err != nil {
							t.Error(err)
						}
					}()
					m.AfterFunc(0, leave)
					do(t, m, &op)
				})
			})
		})
	}
}

// A callback closes the manager while others of the same batch are still to come.
func TestLaw7_CloseInEachCallbackOfABatch(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		const batch = 2*submitEvery + 1
		for closing := range batch {
			m := open(t, c)
			var ops [batch]Op
			ran := 0
			for i := range ops {
				ops[i] = Nop()
				if err := m.Start(&ops[i], func(*Op) {
					if ran++; ran == closing+1 {
						if err := m.Close(); err != nil {
							t.Error(err)
						}
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			for ran < batch {
				if _, err := m.Step(-1); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// receiveNested is receive inside a callback, where a test may not be ended.
func receiveNested[T any](m *Manager, ch <-chan T) T {
	for !m.shared && len(ch) == 0 {
		m.Step(-1)
	}
	return <-ch
}

func TestLaw8_ErrorsSayWhatOnWhatAndWhy(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_, brokenEnd := brokenPipe(t)
		h := Handle(f.Fd())
		for _, test := range []struct {
			name     string
			make     func(op *Op)
			want     error // io.EOF is expected bare
			op, text string
		}{
			{"open a missing file", func(op *Op) { *op = OpenAt(CurrentDir, missing, os.O_RDONLY, 0) },
				fs.ErrNotExist, "open", "open " + missing + ": " + errNotThere.Error()},
			{"stat a missing file", func(op *Op) { *op = StatAt(CurrentDir, missing, 0, new(FileStat)) },
				fs.ErrNotExist, "stat", "stat " + missing + ": " + errNotThere.Error()},
			{"remove a missing file", func(op *Op) { *op = UnlinkAt(CurrentDir, missing, 0) },
				fs.ErrNotExist, "unlink", "unlink " + missing + ": " + errNotThere.Error()},
			{"rename a missing file", func(op *Op) { *op = RenameAt(CurrentDir, missing, CurrentDir, file, 0) },
				fs.ErrNotExist, "rename", "rename " + missing + ": " + errNotThere.Error()},
			{"link a missing file", func(op *Op) { *op = LinkAt(CurrentDir, missing, CurrentDir, file, 0) },
				fs.ErrNotExist, "link", "link " + missing + ": " + errNotThere.Error()},
			{"make a folder that exists", func(op *Op) { *op = MkdirAt(CurrentDir, dir, 0o700) },
				fs.ErrExist, "mkdir", "mkdir " + dir + ": " + errFolderThere.Error()},
			{"create a file that exists", func(op *Op) { *op = OpenAt(CurrentDir, file, os.O_CREATE|os.O_EXCL, 0) },
				fs.ErrExist, "open", "open " + file + ": " + errFileThere.Error()},
			{"path through a file", func(op *Op) { *op = OpenAt(CurrentDir, file+"/x", os.O_RDONLY, 0) },
				errThroughFile, "open", "open " + file + "/x: " + errThroughFile.Error()},
			{"read a folder", func(op *Op) {
				*op = Read(Handle(d.Fd()), make([]byte, 8), CurrentOffset)
				op.Named("the folder")
			}, errReadFolder, "read", "read the folder: " + errReadFolder.Error()},
			{"write what is open for reading", func(op *Op) { *op = Write(h, make([]byte, 8), 0); op.Named(file) },
				errNotAllowed, "write", "write " + file + ": " + errNotAllowed.Error()},
			{"write to a broken pipe", func(op *Op) { *op = Write(brokenEnd, make([]byte, 8), CurrentOffset); op.Named("pipe") },
				errBrokenPipe, "write", "write pipe: " + errBrokenPipe.Error()},
			{"sync no descriptor", func(op *Op) { *op = Fsync(^Handle(0)) },
				errBadHandle, "fsync", "fsync handle -1: " + errBadHandle.Error()},
			{"sync no data", func(op *Op) { *op = Fdatasync(^Handle(0)) },
				errBadHandle, "fdatasync", "fdatasync handle -1: " + errBadHandle.Error()},
			{"truncate what is open for reading", func(op *Op) { *op = Truncate(h, 0); op.Named("it") },
				errCutReadOnly, "truncate", "truncate it: " + errCutReadOnly.Error()},
			{"read an unregistered file", func(op *Op) { *op = Read(RegisteredFile(7), make([]byte, 8), 0) },
				errBadHandle, "read", "read registered file 7: " + errBadHandle.Error()},
			{"close no descriptor", func(op *Op) { *op = CloseHandle(^Handle(0)) },
				errBadHandle, "close", "close handle -1: " + errBadHandle.Error()},
			{"read past the end", func(op *Op) { *op = Read(h, make([]byte, 8), 1000) }, io.EOF, "", "EOF"},
			{"readv past the end", func(op *Op) { *op = Readv(h, [][]byte{make([]byte, 8)}, 1000) }, io.EOF, "", "EOF"},
		} {
			op := new(Op)
			test.make(op)
			n, err := m.Do(context.Background(), op) // here: in caller-driven mode a subtest is not the owner
			if n != 0 || err == nil {
				t.Errorf("%s: %d, %v", test.name, n, err)
				continue
			}
			checkError(t, test.name, err, test.want, test.op, test.text)
		}
	})
}

func checkError(t *testing.T, name string, err, want error, op, text string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v does not match %v", name, err, want)
	}
	if err.Error() != text {
		t.Errorf("%s: text %q, want %q", name, err, text)
	}
	if want == io.EOF {
		if err != io.EOF {
			t.Errorf("%s: %#v is not io.EOF itself", name, err)
		}
		return
	}
	var opErr *OpError
	var path *fs.PathError
	var errno syscall.Errno
	if !errors.As(err, &opErr) || opErr.Op != op {
		t.Errorf("%s: %#v is no *OpError of %s", name, err, op)
	} else if !errors.As(err, &path) || path.Op != opErr.Op || path.Path != opErr.Name || path.Err != opErr.Err {
		t.Errorf("%s: %#v gives the *fs.PathError %#v", name, err, path)
	}
	if !errors.As(err, &errno) {
		t.Errorf("%s: %#v has no errno", name, err)
	}
}

// brokenPipe is a pipe whose reading end is closed.
func brokenPipe(t *testing.T) (r, w Handle) {
	t.Helper()
	r, w, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	closeRaw(r)
	own(t, w)
	return r, w
}

// TestLaw9_OneContract runs one story on each backend in both modes; it must read the same.
func TestLaw9_OneContract(t *testing.T) {
	var first, firstName string
	forEach(t, func(t *testing.T, c Config) {
		story := tell(t, open(t, c))
		if first == "" {
			first, firstName = story, t.Name()
			t.Log("\n" + story)
		} else if story != first {
			t.Errorf("differs from %s:\n%s\nthere it was:\n%s", firstName, story, first)
		}
	})
}

// tell runs a fixed list of operations in a folder of its own, and returns what each answered.
func tell(t *testing.T, m *Manager) string {
	t.Chdir(t.TempDir())
	var story strings.Builder
	fd := Handle(0)
	r, w := pipe(t, m)
	buf, small := make([]byte, 32), make([]byte, 3)
	stat := new(FileStat)
	say := func(op *Op) int {
		n, err := m.Do(context.Background(), op.Named("it"))
		shown := n
		if op.req.Kind == driver.Open && err == nil {
			shown = -1 // whichever it is
		}
		fmt.Fprintf(&story, "%v: %d, %v\n", op.req.Kind, shown, err)
		return n
	}
	var op Op
	next := func(made *Op) int { return say(made) }
	op = MkdirAt(CurrentDir, "d", 0o750)
	next(&op)
	op = OpenAt(CurrentDir, "d/f", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	fd = Handle(next(&op))
	defer closeRaw(fd)
	for _, make := range []func(){
		func() { op = Write(fd, []byte("hello, ring and port"), 0) },
		func() { op = Writev(fd, [][]byte{[]byte("HE"), nil, []byte("LLO")}, 0) },
		func() { op = Fsync(fd) },
		func() { op = Fdatasync(fd) },
		func() { op = Read(fd, buf, 0) },
		func() { op = Read(fd, small, 18) },
		func() { op = Read(fd, small, 20) },
		func() { op = Read(fd, nil, 0) },
		func() { op = Readv(fd, [][]byte{small, buf}, 7) },
		func() { op = Truncate(fd, 5) },
		func() { op = StatAt(CurrentDir, "d/f", 0, stat) },
		func() { op = StatAt(fd, "", 0, stat) },
		func() { op = RenameAt(CurrentDir, "d/f", CurrentDir, "d/g", 0) },
		func() { op = LinkAt(CurrentDir, "d/g", CurrentDir, "d/h", 0) },
		func() { op = UnlinkAt(CurrentDir, "d/g", 0) },
		func() { op = UnlinkAt(CurrentDir, "d", 0) },
		func() { op = UnlinkAt(CurrentDir, "missing", 0) },
		func() {
			if op = PollReady(w, PollOut); !pollsRoom {
				op = Nop()
			}
		},
		func() { op = Write(w, []byte("piped"), CurrentOffset) },
		func() { op = PollReady(r, PollIn) },
		func() { op = Read(r, small, CurrentOffset) },
		func() { op = Read(r, buf, CurrentOffset) },
		func() { op = Write(w, nil, CurrentOffset) },
		func() { op = Write(r, small, CurrentOffset) },
		func() { op = Nop() },
	} {
		make()
		next(&op)
		fmt.Fprintf(&story, "\t%q %q %d bytes, %v\n", buf, small, stat.SizeBytes, stat.Mode)
	}
	return story.String()
}

// TestLaw10_NothingGlobal runs two managers side by side, and closes one.
func TestLaw10_NothingGlobal(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		a, b := open(t, c), open(t, Config{Backend: c.Backend})
		r, w := pipe(t, a)
		inA := Read(r, make([]byte, 1), CurrentOffset)
		chA := start(t, a, &inA)
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b.Wake()
		if len(chA) != 0 {
			t.Fatal("the other manager's Close ended a read")
		}
		put(t, w, "x")
		if res := receive(t, a, chA); res.n != 1 || res.err != nil {
			t.Errorf("%+v", res)
		}
		if s := a.Stats(); s.Completed != 1 || s.Wakes != 0 {
			t.Errorf("%+v", s)
		}
		// An Op whose last manager was closed under it serves another one, and remembers nothing.
		other := open(t, c)
		blocked := Read(r, make([]byte, 1), CurrentOffset)
		ch := start(t, other, &blocked)
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if res := <-ch; !errors.Is(res.err, ErrManagerClosed) {
			t.Errorf("%+v", res)
		}
		ch = start(t, a, &blocked)
		a.Cancel(&blocked)
		if res := receive(t, a, ch); !errors.Is(res.err, ErrCanceled) || errors.Is(res.err, ErrManagerClosed) {
			t.Errorf("%+v", res)
		}
	})
	one, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if two, _ := Default(); one != two {
		t.Error("two default managers")
	}
	op := Nop()
	do(t, one, &op)
}
