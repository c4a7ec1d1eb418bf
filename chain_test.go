package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// chainOf is a chain under test: its operations, and how often each was delivered.
type chainOf struct {
	ops   []*Op
	calls []atomic.Int32
	done  chan struct{}
	left  atomic.Int32
}

// startChainOf starts ops. Done is closed when each has been delivered.
func startChainOf(t *testing.T, m *Manager, ops ...*Op) *chainOf {
	t.Helper()
	c := &chainOf{ops: ops, calls: make([]atomic.Int32, len(ops)), done: make(chan struct{})}
	c.left.Store(int32(len(ops)))
	if err := m.StartChain(func(op *Op) {
		for i := range ops {
			if ops[i] == op {
				c.calls[i].Add(1)
			}
		}
		if c.left.Add(-1) == 0 {
			close(c.done)
		}
	}, ops...); err != nil {
		t.Fatal(err)
	}
	return c
}

// results waits for the chain and describes what became of each operation.
func (c *chainOf) results(t *testing.T, m *Manager) string {
	t.Helper()
	receive(t, m, c.done)
	for i := range c.calls {
		if n := c.calls[i].Load(); n != 1 {
			t.Errorf("operation %d was delivered %d times", i, n)
		}
	}
	return outcome(c.ops)
}

// outcome is what each operation did, in a few words.
func outcome(ops []*Op) string {
	var all []string
	for _, op := range ops {
		n, err := op.Result()
		switch {
		case err == nil:
			all = append(all, fmt.Sprint(n))
		case errors.Is(err, ErrCanceled):
			all = append(all, "cancelled")
		case err == io.EOF:
			all = append(all, "EOF")
		case errors.Is(err, context.DeadlineExceeded):
			all = append(all, "deadline")
		case errors.Is(err, context.Canceled):
			all = append(all, "context")
		case errors.Is(err, ErrManagerClosed):
			all = append(all, "closed")
		default:
			var errno syscall.Errno
			errors.As(err, &errno)
			all = append(all, errno.Error())
		}
	}
	return strings.Join(all, ", ")
}

// ptr puts an operation on the heap.
func ptr(set func(op *Op)) *Op {
	op := new(Op)
	set(op)
	return op
}

func nop() *Op { return ptr(func(op *Op) { *op = Nop() }) }

func readOp(h Handle, n int, off int64) *Op {
	return ptr(func(op *Op) { *op = Read(h, make([]byte, n), off) })
}

func writeOp(h Handle, s string, off int64) *Op {
	return ptr(func(op *Op) { *op = Write(h, []byte(s), off) })
}

// chainCases are chains that end by themselves, and how.
var chainCases = []struct {
	name string
	make func(f Handle) []*Op // f is a file with the content "0123456789"
	want string
}{
	{"all succeed", func(f Handle) []*Op {
		return []*Op{writeOp(f, "ab", 0), writeOp(f, "cd", 2), readOp(f, 4, 0)}
	}, "2, 2, 4"},
	{"append and sync", func(f Handle) []*Op {
		return []*Op{writeOp(f, "end", 10), ptr(func(op *Op) { *op = Fdatasync(f) })}
	}, "3, 0"},
	{"the first fails", func(f Handle) []*Op {
		return []*Op{readOp(^Handle(0), 4, 0), nop(), nop()}
	}, errBadHandle.Error() + ", cancelled, cancelled"},
	{"one in the middle fails", func(f Handle) []*Op {
		return []*Op{nop(), readOp(^Handle(0), 4, 0), writeOp(f, "never", 0)}
	}, "0, " + errBadHandle.Error() + ", cancelled"},
	{"the last fails", func(f Handle) []*Op {
		return []*Op{nop(), nop(), readOp(^Handle(0), 4, 0)}
	}, "0, 0, " + errBadHandle.Error()},
	{"a short read", func(f Handle) []*Op {
		return []*Op{readOp(f, 100, 0), writeOp(f, "never", 0), nop()}
	}, "10, cancelled, cancelled"},
	{"a read at the end", func(f Handle) []*Op {
		return []*Op{readOp(f, 4, 1000), writeOp(f, "never", 0)}
	}, "EOF, cancelled"},
	{"a read of nothing", func(f Handle) []*Op {
		return []*Op{readOp(f, 0, 0), nop()}
	}, "0, 0"},
	{"vectors", func(f Handle) []*Op {
		return []*Op{
			ptr(func(op *Op) { *op = Writev(f, [][]byte{[]byte("x"), []byte("yz")}, 0) }),
			ptr(func(op *Op) { *op = Readv(f, [][]byte{make([]byte, 1), make([]byte, 2)}, 0) }),
			ptr(func(op *Op) { *op = Readv(f, [][]byte{make([]byte, 10), make([]byte, 10)}, 0) }),
			nop(),
		}
	}, "3, 3, 10, cancelled"},
	{"what fails before it reaches the kernel", func(f Handle) []*Op {
		return []*Op{nop(), ptr(func(op *Op) { *op = OpenAt(CurrentDir, "a\x00b", os.O_RDONLY, 0) }), nop()}
	}, "0, " + syscall.EINVAL.Error() + ", cancelled"},
	{"alone", func(f Handle) []*Op { return []*Op{nop()} }, "0"},
	{"paths", func(f Handle) []*Op {
		return []*Op{
			ptr(func(op *Op) { *op = MkdirAt(CurrentDir, "made", 0o700) }),
			ptr(func(op *Op) { *op = RenameAt(CurrentDir, "made", CurrentDir, "moved", 0) }),
			ptr(func(op *Op) { *op = StatAt(CurrentDir, "moved", 0, new(FileStat)) }),
			ptr(func(op *Op) { *op = UnlinkAt(CurrentDir, "made", 0) }),
			ptr(func(op *Op) { *op = Fsync(f) }),
		}
	}, "0, 0, 0, " + errNotThere.Error() + ", cancelled"},
}

func TestChain_Ends(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, test := range chainCases {
			t.Chdir(t.TempDir())
			f := tempFile(t, m, []byte("0123456789"))
			ops := test.make(Handle(f.Fd()))
			if got := startChainOf(t, m, ops...).results(t, m); got != test.want {
				t.Errorf("%s: StartChain: %s, want %s", test.name, got, test.want)
			}
			content, err := os.ReadFile(f.Name())
			if err != nil || bytes.Contains(content, []byte("never")) {
				t.Errorf("%s: %q, %v", test.name, content, err)
			}
			t.Chdir(t.TempDir())
			f = tempFile(t, m, []byte("0123456789"))
			ops = test.make(Handle(f.Fd()))
			err = m.DoChain(context.Background(), ops...)
			if got := outcome(ops); got != test.want {
				t.Errorf("%s: DoChain: %s, want %s", test.name, got, test.want)
			}
			var first error
			for _, op := range ops {
				if _, first = op.Result(); first != nil {
					break
				}
			}
			if (err == nil) != (first == nil) || err != nil && err.Error() != first.Error() {
				t.Errorf("%s: DoChain returns %v, the first error is %v", test.name, err, first)
			}
			// Once more with the same Ops: they can be used again.
			if test.name == "append and sync" {
				if err := m.DoChain(context.Background(), ops...); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestChain_Order checks that each operation begins after the one before it has ended, and that callbacks of a caller-driven
// chain come in its order.
func TestChain_Order(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		f := tempFile(t, m, nil)
		h := Handle(f.Fd())
		for range 50 {
			ops := []*Op{readOp(r, 1, CurrentOffset), writeOp(h, "second", 0), readOp(h, 6, 0)}
			var order []*Op
			done := make(chan bool, 3)
			if err := m.StartChain(func(op *Op) {
				if !m.shared {
					order = append(order, op)
				}
				done <- true
			}, ops...); err != nil {
				t.Fatal(err)
			}
			if err := m.Flush(); err != nil {
				t.Fatal(err)
			}
			if content, err := os.ReadFile(f.Name()); len(content) != 0 || err != nil {
				t.Fatalf("the second one did not wait for the first: %q, %v", content, err)
			}
			put(t, w, "x")
			for range ops {
				receive(t, m, done)
			}
			if got := outcome(ops); got != "1, 6, 6" || string(ops[2].req.Buf) != "second" {
				t.Fatalf("%s, %q", got, ops[2].req.Buf)
			}
			for i := range order {
				if order[i] != ops[i] {
					t.Errorf("callback %d is not that of operation %d", i, i)
				}
			}
			if err := f.Truncate(0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestChain_LongerThanTheQueue: such a chain the manager runs itself.
func TestChain_LongerThanTheQueue(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.Depth = 4
		m := open(t, c)
		f := tempFile(t, m, nil)
		ops := make([]*Op, 100)
		for i := range ops {
			ops[i] = writeOp(Handle(f.Fd()), "0123456789", int64(10*i))
		}
		want := strings.TrimSuffix(strings.Repeat("10, ", len(ops)), ", ")
		if got := startChainOf(t, m, ops...).results(t, m); got != want {
			t.Error(got)
		}
		if err := m.DoChain(context.Background(), ops...); err != nil {
			t.Error(err)
		}
		ops[50] = readOp(^Handle(0), 1, 0)
		err := m.DoChain(context.Background(), ops...)
		if !errors.Is(err, errBadHandle) {
			t.Error(err)
		}
		if got := outcome(ops[49:52]); got != "10, "+errBadHandle.Error()+", cancelled" {
			t.Error(got)
		}
	})
}

// TestChain_Cancel cancels each operation of a chain that waits at its first.
func TestChain_Cancel(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for _, depth := range []int{0, 1} { // with depth 1 the manager runs the chain itself
			c.Depth = depth
			m := open(t, c)
			for i, want := range []string{
				"cancelled, cancelled, cancelled, cancelled",
				"1, cancelled, cancelled, cancelled",
				"1, 1, cancelled, cancelled",
			} {
				a, wa := pipe(t, m)
				b, wb := pipe(t, m)
				d, _ := pipe(t, m)
				ops := []*Op{readOp(a, 1, CurrentOffset), readOp(b, 1, CurrentOffset), readOp(d, 1, CurrentOffset), nop()}
				chain := startChainOf(t, m, ops...)
				m.Cancel(ops[i])
				if i > 0 {
					put(t, wa, "x")
				}
				if i > 1 {
					put(t, wb, "x")
				}
				if got := chain.results(t, m); got != want {
					t.Errorf("depth %d, cancel of operation %d: %s, want %s", depth, i, got, want)
				}
			}
		}
	})
}

func TestChain_ContextOverBefore(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		ops := []*Op{readOp(r, 1, CurrentOffset), nop(), nop()}

		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		put(t, w, "x")
		if err := m.DoChain(ctx, ops...); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is over: %v", err)
		}
		if s := m.Stats(); s.Completed != 0 {
			t.Errorf("something was started: %+v", s)
		}
		do(t, m, ops[0])
	})
}

func TestChain_ContextEnds(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		for _, cause := range causes {
			ops := []*Op{nop(), readOp(r, 1, CurrentOffset), nop()}
			var ctx context.Context
			var err error
			for before := m.Stats().Completed; m.Stats().Completed == before; { // a deadline may pass before the chain has begun
				var end context.CancelFunc
				ctx, end = cause.ctx()
				whileInFlight(m, end)
				err = m.DoChain(ctx, ops...)
			}
			for _, want := range cause.want {
				if want != os.ErrDeadlineExceeded && !errors.Is(err, want) {
					t.Errorf("%s: %v does not match %v", cause.name, err, want)
				}
			}
			for _, op := range ops[1:] {
				if _, err := op.Result(); err == nil || !errors.Is(err, ctx.Err()) {
					t.Errorf("%s: %v", cause.name, err)
				}
			}
			// Nothing is left that would take the next byte.
			put(t, w, "y")
			if err := m.DoChain(context.Background(), ops...); err != nil || outcome(ops) != "0, 1, 0" {
				t.Errorf("%s: the next life: %v, %s", cause.name, err, outcome(ops))
			}
		}
	})
}

func TestChain_Close(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for _, depth := range []int{0, 1} {
			c.Depth = depth
			m := open(t, c)
			r, _ := pipe(t, m)
			ops := []*Op{nop(), readOp(r, 1, CurrentOffset), nop(), nop()}
			chain := startChainOf(t, m, ops...)
			if m.shared && depth == 0 {
				blocked := make(chan error, 1)
				go func() { blocked <- m.DoChain(context.Background(), readOp(r, 1, CurrentOffset), nop()) }()
				for m.Stats().InFlight < 5 && m.Stats().Completed == 0 {
					runtime.Gosched()
				}
				defer func() {
					if err := <-blocked; !errors.Is(err, ErrManagerClosed) {
						t.Errorf("DoChain: %v", err)
					}
				}()
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			for i := range chain.calls {
				if n := chain.calls[i].Load(); n != 1 {
					t.Errorf("operation %d was delivered %d times", i, n)
				}
			}
			for _, op := range ops[1:] {
				if _, err := op.Result(); !errors.Is(err, ErrManagerClosed) {
					t.Errorf("%v", err)
				}
			}
			if err := m.StartChain(func(*Op) {}, ops...); !errors.Is(err, ErrManagerClosed) {
				t.Error(err)
			}
			if err := m.DoChain(context.Background(), ops...); !errors.Is(err, ErrManagerClosed) {
				t.Error(err)
			}
		}
	})
}

func TestChain_BadInput(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		unused := func(*Op) { t.Error("a callback of a chain that was not started") }
		if err := m.StartChain(nil, nop(), nop()); !errors.Is(err, ErrNilCallback) {
			t.Errorf("nil callback: %v", err)
		}
		if err := m.StartChain(unused); err != nil {
			t.Errorf("empty: %v", err)
		}
		if err := m.DoChain(context.Background()); err != nil {
			t.Errorf("empty: %v", err)
		}
		twice := nop()
		if err := m.StartChain(unused, nop(), twice, nop(), twice); !errors.Is(err, ErrInFlight) {
			t.Errorf("the same Op twice: %v", err)
		}
		if err := m.DoChain(context.Background(), twice, twice); !errors.Is(err, ErrInFlight) {
			t.Errorf("the same Op twice: %v", err)
		}
		if err := m.StartChain(unused, twice, writeOp(0, "", -7)); !errors.Is(err, ErrNegativeOffset) || !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("negative offset: %v", err)
		}
		r, w := pipe(t, m)
		flying := readOp(r, 1, CurrentOffset)
		ch := start(t, m, flying)
		if err := m.StartChain(unused, twice, flying); !errors.Is(err, ErrInFlight) {
			t.Errorf("an Op in flight: %v", err)
		}
		put(t, w, "x")
		if res := receive(t, m, ch); res.n != 1 || res.err != nil {
			t.Errorf("%+v", res)
		}
		if s := m.Stats(); s.InFlight != 0 || s.Completed != 1 {
			t.Errorf("something is left of what was not started: %+v", s)
		}
		// What was refused is as good as new.
		if got := startChainOf(t, m, twice, nop()).results(t, m); got != "0, 0" {
			t.Error(got)
		}
	})
}

// TestChain_RegisteredFiles: a registered file is known to the backend alone, wherever a chain runs.
func TestChain_RegisteredFiles(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := tempFile(t, m, nil)
		if err := m.RegisterFiles([]Handle{Handle(f.Fd())}); err != nil {
			t.Fatal(err)
		}
		sync := ptr(func(op *Op) { *op = Fsync(RegisteredFile(0)) })
		ops := []*Op{writeOp(RegisteredFile(0), "data", 0), sync}
		if err := m.DoChain(context.Background(), ops...); err != nil {
			t.Error(err)
		}
		ops[0] = writeOp(Handle(f.Fd()), "more", 4)
		if err := m.DoChain(context.Background(), ops...); err != nil {
			t.Error(err)
		}
		if err := m.DoChain(context.Background(), sync); err != nil {
			t.Error(err)
		}
		if content, err := os.ReadFile(f.Name()); string(content) != "datamore" || err != nil {
			t.Errorf("%q, %v", content, err)
		}
	})
}

// TestChain_Appends lets goroutines append records to files of their own, each with its sync, as a log does.
func TestChain_Appends(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		const writers, records = 8, 20
		m := open(t, c)
		errs := make(chan error, writers)
		files := make([]*testFile, writers)
		for i := range files {
			files[i] = tempFile(t, m, nil)
			go func() {
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if i%2 == 0 { // not on the caller's goroutine
					ctx, cancel = context.WithTimeout(ctx, time.Hour)
				}
				defer cancel()
				h := Handle(files[i].Fd())
				for k := range records {
					record := fmt.Sprintf("%04d\n", k)
					if err := m.DoChain(ctx, writeOp(h, record, int64(5*k)), ptr(func(op *Op) { *op = Fdatasync(h) })); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range writers {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		for _, f := range files {
			content, err := os.ReadFile(f.Name())
			if err != nil || len(content) != 5*records || !bytes.HasSuffix(content, []byte("0019\n")) {
				t.Errorf("%q, %v", content, err)
			}
		}
	})
}
