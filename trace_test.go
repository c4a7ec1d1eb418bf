package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/patience"
)

// logLine is a line of a log.
type logLine struct {
	level slog.Level
	text  string
	attrs map[string]slog.Value
}

// logBook is a slog.Handler that keeps the lines at its level and above.
type logBook struct {
	level slog.Level
	also  func() // called for each line; nil: nothing

	mu    sync.Mutex
	lines []logLine
}

func (b *logBook) Enabled(_ context.Context, l slog.Level) bool { return l >= b.level }
func (b *logBook) WithAttrs([]slog.Attr) slog.Handler           { panic("nobody needs it") }
func (b *logBook) WithGroup(string) slog.Handler                { panic("nobody needs it") }

func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	line := logLine{r.Level, r.Message, map[string]slog.Value{}}
	r.Attrs(func(a slog.Attr) bool {
		line.attrs[a.Key] = a.Value
		return true
	})
	b.mu.Lock()
	b.lines = append(b.lines, line)
	b.mu.Unlock()
	if b.also != nil {
		b.also()
	}
	return nil
}

// all are the lines so far.
func (b *logBook) all() []logLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}

// has reports whether there is a line with text.
func (b *logBook) has(text string) bool {
	return slices.ContainsFunc(b.all(), func(l logLine) bool { return l.text == text })
}

// story is the lines without what differs from run to run: workers, times, and numbers, of which it checks that they make sense.
func (b *logBook) story(t *testing.T) (story []string) {
	t.Helper()
	names := map[uint64]string{} // of spans
	for _, l := range b.all() {
		if strings.HasPrefix(l.text, "worker ") {
			continue
		}
		if id, ok := l.attrs["id"]; ok {
			if of, known := names[id.Uint64()]; known != (l.text != "operation started") || known && of != l.attrs["name"].String() {
				t.Errorf("%v: its number was that of %q", l, of)
			}
			if names[id.Uint64()] = l.attrs["name"].String(); l.text == "operation done" || l.text == "operation abandoned" {
				delete(names, id.Uint64())
				if took := l.attrs["took"]; l.text == "operation done" && (took.Kind() != slog.KindDuration || took.Duration() < 0) {
					t.Errorf("%v took %v", l, took)
				}
			}
		}
		words := []string{l.level.String(), l.text}
		for _, key := range slices.Sorted(maps.Keys(l.attrs)) {
			if !slices.Contains([]string{"id", "took", "why", "goroutine"}, key) {
				words = append(words, key+"="+l.attrs[key].String())
			}
		}
		story = append(story, strings.Join(words, " "))
	}
	for _, name := range names {
		t.Errorf("%s was started, and nothing says that it is done", name)
	}
	return story
}

func (b *logBook) wants(t *testing.T, want []string) {
	t.Helper()
	if got := b.story(t); !slices.Equal(got, want) {
		t.Errorf("the log says\n%s\nand should say\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLogger_InnerOperations: lines say what an operation is for that a method runs on a handle of its own.
func TestLogger_InnerOperations(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		book := &logBook{level: LevelOperation}
		c.Logger = slog.New(book)
		m := open(t, c)
		p := startProcess(t, "exit 0")
		if _, err := m.WaitProcess(t.Context(), p.Pid); err != nil {
			t.Fatal(err)
		}
		want := []string{fmt.Sprint("process ", p.Pid)}
		cmd := processCommand(t, "copy") // which is not over before it was given its input
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("x"), onLine(nil), onLine(nil)
		if err := m.RunCmd(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint("process ", cmd.Process.Pid), "stdin of "+cmd.Path, "stdout of "+cmd.Path, "stderr of "+cmd.Path)
		book.names(t, want...)
	})
}

// names expects operations on all of these, and on nothing else.
func (b *logBook) names(t *testing.T, want ...string) {
	t.Helper()
	var names []string
	for _, l := range b.all() {
		if l.text == "operation done" {
			names = append(names, l.attrs["name"].String())
		}
	}
	slices.Sort(names)
	slices.Sort(want)
	if names = slices.Compact(names); !slices.Equal(names, want) {
		t.Errorf("operations on %q; want %q", names, want)
	}
}

// TestLogger_Story is the log of a short life, with all that has a line.
func TestLogger_Story(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		book := &logBook{level: LevelOperation}
		c.Logger = slog.New(book)
		m := open(t, c)
		r, _ := pipe(t, m)
		path := filepath.Join(t.TempDir(), "file")

		op := Nop()
		do(t, m, op.Named("a nop"))
		read := readOp(r, 8, CurrentOffset).Named("a pipe")
		ch := start(t, m, read)
		m.Cancel(read)
		receive(t, m, ch)
		m.Cancel(read) // which is over
		ctx, cancel := context.WithCancelCause(context.Background())
		whileInFlight(m, func() { cancel(errors.New("enough")) })
		if _, err := m.Do(ctx, read); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := m.Do(ctx, read); !errors.Is(err, context.Canceled) { // not started at all
			t.Error(err)
		}
		if err := m.DoChain(context.Background(), nop().Named("first"), nop().Named("second")); err != nil {
			t.Error(err)
		}
		f := openFile(t, m, path, os.O_RDWR|os.O_CREATE)
		if _, err := f.WriteAt([]byte("hello"), 0); err != nil {
			t.Error(err)
		}
		if err := f.Sync(); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if m.Attach(^Handle(0)) == nil {
			t.Error("no handle was attached")
		}
		if m.Start(read, nil) == nil {
			t.Error("started without a callback")
		}
		left := start(t, m, readOp(r, 8, CurrentOffset).Named("what is left"))
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if res := receive(t, m, left); !errors.Is(res.err, ErrManagerClosed) {
			t.Error(res)
		}
		handle := fmt.Sprint(uint64(^Handle(0)))
		fd := ""
		for _, l := range book.all() {
			if l.text == "operation done" && l.attrs["name"].String() == path && fd == "" {
				fd = l.attrs["n"].String()
			}
		}
		end := []string{
			"DEBUG-4 operation done err=read what is left: manager is closed n=0 name=what is left op=read",
			"DEBUG close: operations are over",
		}
		if story := book.story(t); slices.Index(story, end[1]) < slices.Index(story, end[0]) { // another worker, a moment later
			slices.Reverse(end)
		}
		book.wants(t, append([]string{
			fmt.Sprintf("DEBUG opened backend=%s callerDriven=%t", c.Backend, c.CallerDriven),
			"DEBUG-4 operation started name=a nop op=nop",
			"DEBUG-4 operation done n=0 name=a nop op=nop",
			"DEBUG-4 operation started name=a pipe op=read",
			"DEBUG-4 cancel cause=operation cancelled name=a pipe op=read",
			"DEBUG-4 operation done err=read a pipe: operation cancelled n=0 name=a pipe op=read",
			"DEBUG-4 operation started name=a pipe op=read",
			"DEBUG-4 cancel cause=enough name=a pipe op=read",
			"DEBUG-4 operation done err=read a pipe: enough n=0 name=a pipe op=read",
			"DEBUG-4 operation started name=first op=nop",
			"DEBUG-4 operation started name=second op=nop",
			"DEBUG-4 operation done n=0 name=first op=nop",
			"DEBUG-4 operation done n=0 name=second op=nop",
			"DEBUG-4 operation started name=" + path + " op=open",
			"DEBUG-4 operation done n=" + fd + " name=" + path + " op=open",
			"DEBUG-4 operation started name=" + path + " op=write",
			"DEBUG-4 operation done n=5 name=" + path + " op=write",
			"DEBUG-4 operation started name=" + path + " op=fsync",
			"DEBUG-4 operation done n=0 name=" + path + " op=fsync",
			"DEBUG attach refused err=" + errBadHandle.Error() + " handle=" + handle,
			"DEBUG-4 operation started name=what is left op=read",
			"DEBUG close: begun inFlight=map[read:1]",
		}, append(end, "DEBUG closed")...))
	})
}

// TestLogger_Abandoned: what has not begun after all, since the function that makes its call panicked, is not left open.
func TestLogger_Abandoned(t *testing.T) {
	book := &logBook{level: LevelOperation}
	m, _ := openFake(t, Config{Logger: slog.New(book)})
	wild := Op{req: driver.Request{Kind: driver.Raw, Ext: &driver.Ext{Raw: func() { panic("wild") }}}}
	wild.Named("it")
	regions := regionsIn(traced(t, func() {
		for _, begin := range []func(){
			func() { m.Do(context.Background(), &wild) },
			func() { m.Start(&wild, func(*Op) {}) },
			func() { m.StartChain(func(*Op) {}, &wild, nop().Named("the next")) },
		} {
			func() {
				defer func() {
					if what := recover(); what != "wild" {
						t.Errorf("recovered %v", what)
					}
				}()
				begin()
			}()
		}
	}))
	if !regions["raw"] || wild.span.Load() != nil {
		t.Errorf("%v; a span is left: %v", regions, wild.span.Load())
	}
	const started, abandoned = "DEBUG-4 operation started name=it op=raw", "DEBUG-4 operation abandoned name=it op=raw"
	const next = " name=the next op=nop"
	if got, want := book.story(t), []string{
		"DEBUG opened backend=fake callerDriven=false", started, abandoned, started, abandoned, started, "DEBUG-4 operation started" + next, abandoned,
		"DEBUG-4 operation abandoned" + next,
	}; !slices.Equal(got, want) {
		t.Errorf("the log says %q", got)
	}
}

// TestLogger_Levels: who does not ask for operations gets none, and who asks for nothing nothing.
func TestLogger_Levels(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for level, want := range map[slog.Level][]string{
			slog.LevelInfo: nil,
			slog.LevelDebug: {
				fmt.Sprintf("DEBUG opened backend=%s callerDriven=%t", c.Backend, c.CallerDriven),
				"DEBUG close: begun inFlight=map[]",
				"DEBUG close: operations are over",
				"DEBUG closed",
			},
		} {
			book := &logBook{level: level}
			c.Logger = slog.New(book)
			m := open(t, c)
			do(t, m, nop())
			receive(t, m, start(t, m, nop()))
			if err := m.DoChain(context.Background(), nop(), nop()); err != nil {
				t.Error(err)
			}
			f := openFile(t, m, filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE)
			f.WriteAt([]byte("hello"), 0)
			f.Close()
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			book.wants(t, want)
		}
	})
}

// TestLogger_Workers: the log tells of each worker, and of the moment when nobody is left to wait.
func TestLogger_Workers(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		book := &logBook{level: slog.LevelDebug}
		c.Logger, c.MinWorkers, c.MaxWorkers = slog.New(book), 1, 2
		m := open(t, c)
		const stuck = "all workers are in callbacks: nothing is delivered until one returns"
		release, done := make(chan bool), make(chan bool)
		for i := range 2 {
			if err := m.Start(nop(), func(*Op) { <-release; done <- true }); err != nil {
				t.Fatal(err)
			}
			if err := patience.Until(func() error {
				if count, idle := m.workers.count(); count-idle < i+1 || !book.has(stuck) && i == 1 {
					return fmt.Errorf("%d workers, %d idle, %v", count, idle, book.all())
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if i == 0 && book.has(stuck) {
				t.Error("one of two workers was free")
			}
		}
		close(release)
		<-done
		<-done
		if err := patience.Until(func() error { // else Close may find that nobody waits, and start a third
			if count, _ := m.workers.count(); count != 1 {
				return fmt.Errorf("%d workers after the callbacks", count)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		started := map[int64]int{}
		for _, l := range book.all() {
			switch l.text {
			case "worker started":
				started[l.attrs["goroutine"].Int64()]++
			case "worker ended":
				started[l.attrs["goroutine"].Int64()]--
			}
		}
		if len(started) != 2 {
			t.Errorf("the log knows of %d workers: %v", len(started), book.all())
		}
		for g, n := range started {
			if n != 0 {
				t.Errorf("goroutine %d was started %d times more than it ended", g, n)
			}
		}
	})
}

// TestLogger_NoLock: the handler is called with no lock held that it could need, neither the manager's nor a file's nor a registration's.
func TestLogger_NoLock(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		var manager atomic.Pointer[Manager]
		var file atomic.Pointer[File]
		var watched atomic.Pointer[Registration]
		book := &logBook{level: LevelOperation, also: func() {
			if m := manager.Load(); m != nil {
				m.Stats()
			}
			if f := file.Load(); f != nil {
				f.SetReadDeadline(time.Time{})
			}
			if r := watched.Load(); r != nil {
				r.Err()
			}
		}}
		c.Logger, c.MinWorkers, c.MaxWorkers = slog.New(book), 1, 2
		m := open(t, c)
		manager.Store(m)
		h, w := pipe(t, m)
		f, err := m.NewFile(dup(t, h), "pipe")
		if err != nil {
			t.Fatal(err)
		}
		file.Store(f)
		put(t, w, "x")
		if _, err := f.Read(make([]byte, 8)); err != nil {
			t.Error(err)
		}
		for _, closes := range []func() error{
			func() error { return watched.Load().Close() },
			func() error { return f.Close() },
		} {
			put(t, w, "x")
			r, called := watch(t, m, Handle(f.Fd()), Readable, Persistent)
			watched.Store(r)
			for range 3 { // it was started again, with the handler there to ask it
				receive(t, m, called)
			}
			if err := closes(); err != nil {
				t.Error(err)
			}
		}
		if m.shared { // both workers come and go, and there is none for a moment
			release, done := make(chan bool), make(chan bool)
			for range 2 {
				if err := m.Start(nop(), func(*Op) { <-release; done <- true }); err != nil {
					t.Fatal(err)
				}
			}
			if err := patience.Until(func() error {
				if !book.has("all workers are in callbacks: nothing is delivered until one returns") {
					return fmt.Errorf("%v", book.all())
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			close(release)
			<-done
			<-done
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestLogger_NothingAfterClose: when Close returns, the manager's own goroutines have called the handler for the last time.
func TestLogger_NothingAfterClose(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		others := goroutines() // the default manager's among them
		for range 200 {
			book := &logBook{level: LevelOperation}
			c.Logger, c.MinWorkers = slog.New(book), 4
			m := open(t, c)
			r, _ := pipe(t, m)
			for range 4 {
				start(t, m, nop())
				start(t, m, readOp(r, 8, CurrentOffset))
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			before := len(book.all())
			if err := patience.Until(func() error { return goroutinesOf(others, "ringport.(*Manager).work(") }); err != nil {
				t.Fatal(err)
			}
			if lines := book.all(); len(lines) != before || lines[before-1].text != "closed" {
				t.Fatalf("after Close: %v", lines[before-1:])
			}
		}
	})
}

// traced is what a trace of f's run has in it.
func traced(t *testing.T, f func()) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := trace.Start(&b); err != nil {
		t.Skip("the tests themselves are traced: ", err)
	}
	defer trace.Stop()
	f()
	if err := patience.Until(func() error { return goroutinesOf(nil, "ringport.(*span).call(") }); err != nil {
		t.Error(err) // the end of its region would be in the next trace
	}
	trace.Stop()
	return b.Bytes()
}

// TestTrace: a trace has the names of what was done while it was taken, and nothing of what was done before.
func TestTrace(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		name := filepath.Join(t.TempDir(), "file")
		f := openFile(t, m, name, os.O_RDWR|os.O_CREATE)
		f.WriteAt(make([]byte, 4096), 0)
		buf := make([]byte, 512)
		for range 2 * warmFrom {
			f.ReadAt(buf, notSample)
		}
		for _, c := range []struct {
			what string
			f    func()
			want []string
		}{
			{"nothing", func() {}, nil},
			{"Do", func() { do(t, m, nop()) }, []string{"nop"}},
			{"Start", func() { receive(t, m, start(t, m, ptr(func(op *Op) { *op = Fsync(Handle(f.Fd())) }))) }, []string{"fsync", "callback"}},
			{"DoChain", func() { m.DoChain(context.Background(), nop()) }, []string{"chain"}},
			{"StartChain", func() {
				done := make(chan bool, 1)
				m.StartChain(func(*Op) { done <- true }, nop())
				receive(t, m, done)
			}, []string{"nop", "callback"}},
			{"File", func() {
				f.WriteAt(buf, 0)
				f.Stat()
				f.Sync()
			}, []string{"write", "stat", "fsync"}},
			{"an open", func() { openFile(t, m, name, os.O_RDONLY).Close() }, []string{"open"}},
		} {
			got := regionsIn(traced(t, c.f))
			for _, want := range c.want {
				if !got[want] {
					t.Errorf("%s: nothing is called %s, but %v", c.what, want, got)
				}
				delete(got, want)
			}
			if len(got) > 0 {
				t.Errorf("%s: %v too", c.what, got)
			}
		}
		got := regionsIn(traced(t, func() { f.ReadAt(buf, notSample) }))
		if !got["cached"] && !got["read"] {
			t.Errorf("a read of a warm file: %v", got)
		}
		if do(t, m, nop()); len(regionsIn(traced(t, func() {}))) != 0 {
			t.Error("it goes on after the trace")
		}
	})
}

// regionsIn are the names in a trace that begin as this package's do. The format has them as they are; after a slash they are functions.
func regionsIn(data []byte) map[string]bool {
	names := map[string]bool{}
	for {
		before, rest, ok := bytes.Cut(data, []byte(regionName("")))
		if !ok {
			return names
		}
		end := bytes.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
		if end > 0 && !bytes.HasSuffix(before, []byte("/")) {
			names[string(rest[:end])] = true
		}
		data = rest
	}
}

// TestNoAllocations_Logger: a logger that does not ask for operations costs them nothing.
func TestNoAllocations_Logger(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.Logger = slog.New(&logBook{level: slog.LevelInfo})
		c.MinWorkers, c.MaxWorkers = 16, 16 // on a busy machine the worker of the call before may be slow to come back: those that stand in for it stay
		m := open(t, c)
		op := nop()
		mustNotAllocate(t, "Do of nop", 1, func() {
			if _, err := m.Do(context.Background(), op); err != nil {
				t.Error(err)
			}
		})
		done := make(chan bool, 1)
		callback := func(*Op) { done <- true }
		mustNotAllocate(t, "Start of nop", 1, func() {
			if err := m.Start(op, callback); err != nil {
				t.Error(err)
			}
			for !m.shared && len(done) == 0 {
				if _, err := m.Step(-1); err != nil {
					t.Error(err)
				}
			}
			<-done
		})
	})
}

// BenchmarkLogger is a no-op with a callback, caller-driven: without a logger, with one that does not ask for operations, and with one that does and
// throws their lines away.
func BenchmarkLogger(b *testing.B) {
	for _, c := range []struct {
		name   string
		logger *slog.Logger
	}{
		{"none", nil},
		{"manager", slog.New(&nowhere{level: slog.LevelInfo})},
		{"operations", slog.New(&nowhere{level: LevelOperation})},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := open(b, Config{CallerDriven: true, Logger: c.logger})
			b.ReportAllocs()
			op, done := Nop(), 0
			back := func(*Op) { done++ }
			for b.Loop() {
				if err := m.Start(&op, back); err != nil {
					b.Fatal(err)
				}
				for before := done; done == before; {
					if _, err := m.Step(-1); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// nowhere is a slog.Handler that forgets.
type nowhere struct{ level slog.Level }

func (n *nowhere) Enabled(_ context.Context, l slog.Level) bool { return l >= n.level }
func (n *nowhere) WithAttrs([]slog.Attr) slog.Handler           { return n }
func (n *nowhere) WithGroup(string) slog.Handler                { return n }
func (n *nowhere) Handle(context.Context, slog.Record) error    { return nil }

// BenchmarkTracingOff is all that tracing adds to an operation with a callback while it is off, without the operation: the two questions that it asks on
// its way, whether somebody wants to know of it and whether somebody did. What "nothing" takes is the loop's.
func BenchmarkTracingOff(b *testing.B) {
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
		}
	})
	for name, logger := range map[string]*slog.Logger{"no logger": nil, "logger at info": slog.New(&nowhere{level: slog.LevelInfo})} {
		b.Run(name, func(b *testing.B) {
			m, op := open(b, Config{CallerDriven: true, Logger: logger}), nop()
			b.ReportAllocs()
			for b.Loop() {
				if m.observed() || op.span.Load() != nil {
					b.Fatal("it is observed")
				}
			}
		})
	}
}
