package ringport

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// Each law of the project has its tests, by number: what it promises about the manager, on every backend and in both modes.
// Here are laws 1 to 3; 4 and 5 are in laws_close_test.go, 6 to 10 in laws_contract_test.go.

func TestLaw1_ExactlyOnce(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		const each = 300
		m := open(t, c)
		f := tempFile(t, m, bytes.Repeat([]byte("ringport"), 512))
		r, _ := pipe(t, m)
		ops := make([]Op, 4*each)
		calls := make([]atomic.Int32, len(ops))
		for i := range ops {
			switch i % 4 {
			case 0:
				ops[i] = Nop()
			case 1:
				ops[i] = Read(Handle(f.Fd()), make([]byte, 64), int64(i))
			case 2:
				ops[i] = Read(r, make([]byte, 64), CurrentOffset) // nobody writes: ended by Cancel or Close
			case 3:
				ops[i] = Read(^Handle(0), make([]byte, 64), 0) // fails
			}
			if err := m.Start(&ops[i], func(*Op) { calls[i].Add(1) }); err != nil {
				t.Fatal(err)
			}
			if i%8 == 2 {
				m.Cancel(&ops[i])
				m.Cancel(&ops[i])
			}
		}
		for m.Stats().InFlight > each/2 { // the reads that nothing but Close ends
			if m.shared {
				runtime.Gosched()
			} else if _, err := m.Step(patience.Limit); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range calls {
			if n := calls[i].Load(); n != 1 {
				t.Errorf("operation %d (%v) was delivered %d times", i, ops[i].req.Kind, n)
			}
		}
		s := m.Stats()
		if s.Completed != int64(len(ops)) || s.InFlight != 0 || s.Failed != each || s.Canceled != each {
			t.Errorf("after %d operations, %d of them failed and %d cancelled: %+v", len(ops), each, each, s)
		}
	})
}

// TestLaw1_OneWinner lets a write and a cancel race for one read: it either gets the byte or ends as cancelled, with the byte
// still in the pipe.
func TestLaw1_OneWinner(t *testing.T) {
	const rounds = 1500
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		turns := make(chan struct{})
		written := make(chan struct{})
		go func() {
			defer close(written)
			for range turns {
				put(t, w, "x")
				written <- struct{}{}
			}
		}()
		data, cancelled := 0, 0
		for i := range rounds {
			buf := make([]byte, 8)
			op := Read(r, buf, CurrentOffset)
			ch := start(t, m, &op)
			turns <- struct{}{}
			if i%2 == 0 {
				runtime.Gosched()
			}
			if !m.shared && i%3 == 0 {
				m.Step(0)
			}
			m.Cancel(&op)
			res := receive(t, m, ch)
			<-written
			switch {
			case res.n == 1 && res.err == nil && buf[0] == 'x':
				data++
			case res.n == 0 && errors.Is(res.err, ErrCanceled):
				cancelled++
				if n, err := rawRead(r, buf); n != 1 || err != nil {
					t.Fatalf("round %d: the byte is gone: %d, %v", i, n, err)
				}
			default:
				t.Fatalf("round %d: %+v, buffer %q", i, res, buf)
			}
			if len(ch) != 0 {
				t.Fatalf("round %d: delivered twice", i)
			}
		}
		close(turns)
		<-written
		t.Logf("%d got the byte, %d were cancelled", data, cancelled)
	})
}

// TestLaw2_HeldUntilCompletion lets go of an operation and its buffer while they are in flight.
func TestLaw2_HeldUntilCompletion(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		got := make(chan string, 1)
		gone := make(chan struct{})
		func() {
			buf := make([]byte, 128)
			runtime.AddCleanup(&buf[0], func(gone chan struct{}) { close(gone) }, gone)
			op := Read(r, buf, CurrentOffset)
			if err := m.Start(&op, func(op *Op) {
				n, _ := op.Result()
				got <- string(op.req.Buf[:n])
			}); err != nil {
				t.Fatal(err)
			}
		}()
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			runtime.GC()
			overwrite(make([]byte, 128))
		}
		select {
		case <-gone:
			t.Fatal("the buffer of an operation in flight was collected")
		default:
		}
		put(t, w, "held")
		if s := receive(t, m, got); s != "held" {
			t.Fatalf("read %q", s)
		}
		if err := patience.Until(func() error {
			// The next completion takes the place of this one in the batch.
			op := Nop()
			do(t, m, &op)
			runtime.GC()
			select {
			case <-gone:
				return nil
			default:
				return errors.New("the buffer is held after the completion")
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

//go:noinline
func overwrite(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// TestLaw2_StackMoves makes the stack of a goroutine in Do shrink, and so move, under an operation whose buffer is declared on it.
func TestLaw2_StackMoves(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		got := make(chan string, 1)
		go func() {
			grow(200)
			var buf [32]byte
			op := Read(r, buf[:], CurrentOffset)
			n, err := m.Do(context.Background(), &op)
			if err != nil {
				t.Error(err)
			}
			got <- string(buf[:n])
		}()
		for m.Stats().InFlight == 0 {
			runtime.Gosched()
		}
		for range 5 {
			runtime.GC()
		}
		put(t, w, "not moved")
		if s := <-got; s != "not moved" {
			t.Errorf("read %q", s)
		}
	})
}

//go:noinline
func grow(depth int) byte {
	var frame [1024]byte
	frame[depth%len(frame)] = 1
	if depth > 0 {
		frame[0] = grow(depth - 1)
	}
	return frame[depth%len(frame)]
}

// causes are the ways to end an operation, and what its error must match.
var causes = []struct {
	name string
	ctx  func() (context.Context, context.CancelFunc)
	want []error
}{
	{"cancel", func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
		[]error{context.Canceled}},
	{"deadline", func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		return ctx, func() { <-ctx.Done(); cancel() }
	}, []error{context.DeadlineExceeded, os.ErrDeadlineExceeded}},
	{"cancel with a cause", func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(context.Background())
		return ctx, func() { cancel(errOutOfPaper) }
	}, []error{context.Canceled, errOutOfPaper}},
	{"deadline with a cause", func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Millisecond, errOutOfPaper)
		return ctx, func() { <-ctx.Done(); cancel() }
	}, []error{context.DeadlineExceeded, errOutOfPaper}},
}

var errOutOfPaper = errors.New("out of paper")

func checkCause(t *testing.T, n int, err error, want []error) {
	t.Helper()
	if n != 0 {
		t.Errorf("%d bytes beside %v", n, err)
	}
	checkMatches(t, err, "read", want...)
}

// checkMatches checks that err is the operation's, and matches all of want.
func checkMatches(t *testing.T, err error, operation string, want ...error) {
	t.Helper()
	for _, w := range want {
		if w == os.ErrDeadlineExceeded {
			if !os.IsTimeout(err) {
				t.Errorf("%v is no timeout", err)
			}
		} else if !errors.Is(err, w) {
			t.Errorf("error %v does not match %v", err, w)
		}
	}
	var op *OpError
	if !errors.As(err, &op) || op.Op != operation {
		t.Errorf("%#v is no error of a %s", err, operation)
	}
}

// whileInFlight calls f when the caller's next operation is in flight.
func whileInFlight(m *Manager, f func()) {
	if !m.shared {
		m.AfterFunc(0, f)
		return
	}
	before := m.Stats().Completed
	go func() {
		for s := m.Stats(); s.InFlight == 0 && s.Completed == before; s = m.Stats() { // or it is over already
			runtime.Gosched()
		}
		f()
	}()
}

func TestLaw3_Causes(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for _, cause := range causes {
			t.Run(cause.name, func(t *testing.T) {
				m := open(t, c)
				r, w := pipe(t, m)
				op := Read(r, make([]byte, 8), CurrentOffset)

				// Before: nothing is started.
				ctx, end := cause.ctx()
				end()
				put(t, w, "y")
				n, err := m.Do(ctx, &op)
				checkCause(t, n, err, cause.want)
				if s := m.Stats(); s.Completed != 0 || s.InFlight != 0 {
					t.Errorf("something was started: %+v", s)
				}

				// After: nothing changes.
				ctx, end = cause.ctx()
				if n, err := m.Do(ctx, &op); n != 1 && !errors.Is(err, ctx.Err()) || n == 1 && err != nil {
					t.Errorf("with the byte there: %d, %v", n, err)
				} else if n == 0 {
					t.Log("the deadline was faster than the byte")
					do(t, m, &op)
				}
				end()

				// During.
				ctx, end = cause.ctx()
				whileInFlight(m, end)
				n, err = m.Do(ctx, &op)
				checkCause(t, n, err, cause.want)

				// The next life of the Op knows nothing of it.
				put(t, w, "z")
				if n := do(t, m, &op); n != 1 {
					t.Errorf("read %d bytes", n)
				}
			})
		}
	})
}

func TestLaw3_CancelByHand(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		op := Read(r, make([]byte, 8), CurrentOffset)
		m.Cancel(&op) // idle: nothing
		put(t, w, "1")
		if res := receive(t, m, start(t, m, &op)); res.n != 1 || res.err != nil {
			t.Fatalf("after a cancel of the idle Op: %+v", res)
		}
		m.Cancel(&op) // done: nothing
		put(t, w, "2")
		if res := receive(t, m, start(t, m, &op)); res.n != 1 || res.err != nil {
			t.Fatalf("after a cancel of the done Op: %+v", res)
		}
		ch := start(t, m, &op)
		m.Cancel(&op)
		res := receive(t, m, ch)
		checkCause(t, res.n, res.err, []error{ErrCanceled, context.Canceled})
		if errors.Is(res.err, os.ErrClosed) || errors.Is(res.err, context.DeadlineExceeded) {
			t.Errorf("%v matches too much", res.err)
		}
		if s := m.Stats(); s.Canceled != 1 || s.Failed != 0 || s.Completed != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// TestLaw3_DataIsKept cancels writes that have moved a part of their data.
func TestLaw3_DataIsKept(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		op := Write(w, make([]byte, 1<<20), CurrentOffset) // more than a pipe holds
		finished := make(chan struct{})
		defer func() { <-finished }()
		go func() {
			defer close(finished)
			for m.shared && m.Stats().InFlight == 0 && m.Stats().Completed == 0 {
				runtime.Gosched()
			}
			cancel()
		}()
		n, err := m.Do(ctx, &op)
		inPipe := 0
		for buf := make([]byte, 1<<20); ; {
			k, err := tryRead(r, buf)
			if err != nil || k == 0 {
				break
			}
			inPipe += k
		}
		if n != inPipe || n > 0 && err != nil || n == 0 && !errors.Is(err, context.Canceled) {
			t.Errorf("Do: %d, %v; the pipe got %d bytes", n, err, inPipe)
		}
	})
}

// TestLaw3_FullQueue cancels far more operations than the submission queue has entries, at once.
func TestLaw3_FullQueue(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.Depth = 1
		m := open(t, c)
		r, _ := pipe(t, m)
		ops := make([]Op, 200)
		chs := make([]<-chan result, len(ops))
		for i := range ops {
			ops[i] = Read(r, make([]byte, 1), CurrentOffset)
			chs[i] = start(t, m, &ops[i])
		}
		for i := range ops {
			m.Cancel(&ops[i])
		}
		for i := range chs {
			if res := receive(t, m, chs[i]); res.n != 0 || !errors.Is(res.err, ErrCanceled) {
				t.Errorf("operation %d: %+v", i, res)
			}
		}
	})
}
