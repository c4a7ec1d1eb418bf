//go:build unix

package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

// Each law of the project has its tests here, by number: what it promises about the manager, on every backend and in both modes.

func TestLaw1_ExactlyOnce(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		const each = 300
		m := open(t, c)
		f := tempFile(t, bytes.Repeat([]byte("ringport"), 512))
		r, _ := pipe(t)
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
			} else if _, err := m.Step(patience); err != nil {
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
		r, w := pipe(t)
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
				if n, err := syscall.Read(int(r), buf); n != 1 || err != nil {
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
		r, w := pipe(t)
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
		if err := eventually(func() error {
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
		r, w := pipe(t)
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
	if !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("%#v is no error of a read", err)
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
				r, w := pipe(t)
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
		r, w := pipe(t)
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
		r, w := pipe(t)
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
		if err := syscall.SetNonblock(int(r), true); err != nil {
			t.Fatal(err)
		}
		inPipe := 0
		for buf := make([]byte, 1<<20); ; {
			k, err := syscall.Read(int(r), buf)
			if err != nil {
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
		r, _ := pipe(t)
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

func TestLaw4_CloseDrains(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t)
		ops := make([]Op, 50)
		chs := make([]<-chan result, len(ops))
		for i := range ops {
			ops[i] = Read(r, make([]byte, 4), CurrentOffset)
			chs[i] = start(t, m, &ops[i])
		}
		fired := make(chan bool, 1)
		timeout := m.AfterFunc(time.Hour, func() { fired <- true })
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for i, ch := range chs {
			if len(ch) != 1 {
				t.Fatalf("after Close operation %d has %d results", i, len(ch))
			}
			res := <-ch
			checkCause(t, res.n, res.err, []error{ErrManagerClosed, os.ErrClosed})
		}
		if err := m.Close(); err != ErrManagerClosed {
			t.Errorf("second Close: %v", err)
		}
		if timeout.Stop() || timeout.Reset(0) || len(fired) != 0 {
			t.Error("a timeout outlived Close")
		}
		// Nothing is left that would take data from the pipe.
		put(t, w, "still here")
		buf := make([]byte, 16)
		if n, err := syscall.Read(int(r), buf); string(buf[:n]) != "still here" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
	})
}

// TestLaw4_CloseAtOnce closes managers in every early state that they can be in.
func TestLaw4_CloseAtOnce(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for range 20 {
			if err := open(t, c).Close(); err != nil {
				t.Fatal(err)
			}
			m := open(t, c)
			op := Nop()
			ch := start(t, m, &op) // in caller-driven mode it is only queued
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if len(ch) != 1 {
				t.Fatal("Close has not delivered")
			}
		}
	})
}

func TestLaw4_CloseEndsBlockedCalls(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, _ := pipe(t)
		const callers = 20
		errs := make(chan error, callers)
		for i := range callers {
			go func() {
				ctx := context.Background()
				if i%2 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Hour)
					defer cancel()
				}
				op := Read(r, make([]byte, 4), CurrentOffset)
				_, err := m.Do(ctx, &op)
				errs <- err
			}()
		}
		for m.Stats().InFlight < callers {
			runtime.Gosched()
		}
		const closers = 8
		closed := make(chan error, closers)
		for range closers {
			go func() { closed <- m.Close() }()
		}
		first := 0
		for range closers {
			if err := <-closed; err == nil {
				first++
			} else if err != ErrManagerClosed {
				t.Error(err)
			}
		}
		if first != 1 {
			t.Errorf("%d Closes say that they were the first", first)
		}
		for range callers {
			if err := <-errs; !errors.Is(err, ErrManagerClosed) || !errors.Is(err, os.ErrClosed) {
				t.Errorf("Do: %v", err)
			}
		}
	})
}

// TestLaw4_CloseAgainstStarts closes managers while goroutines start, wake and set timeouts as fast as they can.
func TestLaw4_CloseAgainstStarts(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		for range 100 {
			m := open(t, c)
			r, _ := pipe(t)
			var started, done atomic.Int64
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() {
					for k := 0; ; k++ {
						m.Wake()
						m.AfterFunc(time.Duration(i)*time.Microsecond, func() {})
						op := nop()
						if k%2 == 0 {
							op = readOp(r, 1, CurrentOffset) // ends by Close alone, even if it is submitted while that cancels
						}
						if err := m.Start(op, func(*Op) { done.Add(1) }); err != nil {
							if !errors.Is(err, ErrManagerClosed) {
								t.Error(err)
							}
							return
						}
						started.Add(1)
					}
				})
			}
			for started.Load() < 20 {
				runtime.Gosched()
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			if s, d := started.Load(), done.Load(); s != d {
				t.Fatalf("%d started, %d done", s, d)
			}
		}
	})
}

// TestLaw4_CloseInCallback closes the manager from each place that runs a callback.
func TestLaw4_CloseInCallback(t *testing.T) {
	places := map[string]func(t *testing.T, m *Manager, closeIt func()){
		"completion": func(t *testing.T, m *Manager, closeIt func()) {
			op := new(Op)
			*op = Nop()
			if err := m.Start(op, func(*Op) { closeIt() }); err != nil {
				t.Fatal(err)
			}
		},
		"inline completion": func(t *testing.T, m *Manager, closeIt func()) {
			op := OpenAt(CurrentDir, "a\x00b", os.O_RDONLY, 0)
			if err := m.Start(&op, func(*Op) { closeIt() }); err != nil {
				t.Fatal(err)
			}
		},
		"chain": func(t *testing.T, m *Manager, closeIt func()) {
			a, b := new(Op), new(Op)
			*a, *b = Nop(), Nop()
			var called atomic.Bool
			if err := m.StartChain(func(*Op) {
				if !called.Swap(true) {
					closeIt()
				}
			}, a, b); err != nil {
				t.Fatal(err)
			}
		},
		"timeout": func(t *testing.T, m *Manager, closeIt func()) { m.AfterFunc(0, closeIt) },
		"later timeout": func(t *testing.T, m *Manager, closeIt func()) {
			m.AfterFunc(time.Millisecond, closeIt)
		},
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, c Config) {
				for _, workers := range []int{0, 1} {
					c.MinWorkers, c.MaxWorkers = workers, workers
					m := open(t, c)
					r, _ := pipe(t)
					blocked := Read(r, make([]byte, 1), CurrentOffset)
					other := start(t, m, &blocked)
					closed := make(chan error, 2)
					place(t, m, func() { closed <- m.Close() })
					if err := receive(t, m, closed); err != nil {
						t.Errorf("Close in a callback: %v", err)
					}
					if len(other) != 1 {
						t.Fatal("Close came back before the read was delivered")
					}
					if res := <-other; !errors.Is(res.err, ErrManagerClosed) {
						t.Errorf("%+v", res)
					}
					if err := m.Close(); err != ErrManagerClosed {
						t.Errorf("Close afterwards: %v", err)
					}
				}
			})
		})
	}
}

// TestLaw5_WakeIsNeverLost wakes a million times from another goroutine, in bursts, each of which must make a Step return.
func TestLaw5_WakeIsNeverLost(t *testing.T) {
	const total = 1_000_000
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		seed := testSeed(t)
		var posted, seen atomic.Int64
		go func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			for n := int64(0); n < total; {
				burst := min(1+rng.Int64N(100), total-n)
				n += burst
				for range burst - 1 {
					m.Wake()
				}
				posted.Store(n)
				m.Wake()
				for seen.Load() < n {
					runtime.Gosched()
				}
			}
		}()
		for seen.Load() < total {
			ran, err := m.Step(patience)
			if err != nil {
				t.Fatal(err)
			}
			if ran != 0 {
				t.Fatalf("a wake was taken for %d completions", ran)
			}
			seen.Store(posted.Load())
		}
		if s := m.Stats(); s.Wakes != total || s.Completed != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestLaw5_EverythingGetsAttention starts operations, timeouts and wakes against a loop that falls asleep after each.
func TestLaw5_EverythingGetsAttention(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		const rounds = 3000
		m := open(t, c)
		rng := rand.New(rand.NewPCG(testSeed(t), 2))
		r, w := pipe(t)
		for i := range rounds {
			ch := make(chan result, 1)
			switch rng.IntN(4) {
			case 0:
				m.AfterFunc(time.Duration(rng.IntN(3))*time.Microsecond, func() { ch <- result{} })
			case 1:
				op := Read(r, make([]byte, 1), CurrentOffset)
				if err := m.Start(&op, func(*Op) { ch <- result{} }); err != nil {
					t.Fatal(err)
				}
				put(t, w, "x")
			case 2:
				op := Read(^Handle(0), make([]byte, 1), 0)
				if err := m.Start(&op, func(*Op) { ch <- result{} }); err != nil {
					t.Fatal(err)
				}
			case 3:
				m.Wake()
				op := Nop()
				if err := m.Start(&op, func(*Op) { ch <- result{} }); err != nil {
					t.Fatal(err)
				}
			}
			if i%3 == 0 {
				m.Wake()
			}
			receive(t, m, ch)
		}
	})
}

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
		r, w := pipe(t)
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
			try(m.Detach(r))
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
				fs.ErrNotExist, "open", "open " + missing + ": no such file or directory"},
			{"stat a missing file", func(op *Op) { *op = StatAt(CurrentDir, missing, 0, new(FileStat)) },
				fs.ErrNotExist, "stat", "stat " + missing + ": no such file or directory"},
			{"remove a missing file", func(op *Op) { *op = UnlinkAt(CurrentDir, missing, 0) },
				fs.ErrNotExist, "unlink", "unlink " + missing + ": no such file or directory"},
			{"rename a missing file", func(op *Op) { *op = RenameAt(CurrentDir, missing, CurrentDir, file, 0) },
				fs.ErrNotExist, "rename", "rename " + missing + ": no such file or directory"},
			{"link a missing file", func(op *Op) { *op = LinkAt(CurrentDir, missing, CurrentDir, file, 0) },
				fs.ErrNotExist, "link", "link " + missing + ": no such file or directory"},
			{"make a folder that exists", func(op *Op) { *op = MkdirAt(CurrentDir, dir, 0o700) },
				fs.ErrExist, "mkdir", "mkdir " + dir + ": file exists"},
			{"create a file that exists", func(op *Op) { *op = OpenAt(CurrentDir, file, os.O_CREATE|os.O_EXCL, 0) },
				fs.ErrExist, "open", "open " + file + ": file exists"},
			{"path through a file", func(op *Op) { *op = OpenAt(CurrentDir, file+"/x", os.O_RDONLY, 0) },
				syscall.ENOTDIR, "open", "open " + file + "/x: not a directory"},
			{"read a folder", func(op *Op) {
				*op = Read(Handle(d.Fd()), make([]byte, 8), CurrentOffset)
				op.Named("the folder")
			}, syscall.EISDIR, "read", "read the folder: is a directory"},
			{"write what is open for reading", func(op *Op) { *op = Write(h, make([]byte, 8), 0); op.Named(file) },
				syscall.EBADF, "write", "write " + file + ": bad file descriptor"},
			{"write to a broken pipe", func(op *Op) { *op = Write(brokenEnd, make([]byte, 8), CurrentOffset); op.Named("pipe") },
				syscall.EPIPE, "write", "write pipe: broken pipe"},
			{"sync no descriptor", func(op *Op) { *op = Fsync(^Handle(0)) },
				syscall.EBADF, "fsync", "fsync handle -1: bad file descriptor"},
			{"sync no data", func(op *Op) { *op = Fdatasync(^Handle(0)) },
				syscall.EBADF, "fdatasync", "fdatasync handle -1: bad file descriptor"},
			{"truncate what is open for reading", func(op *Op) { *op = Truncate(h, 0); op.Named("it") },
				syscall.EINVAL, "truncate", "truncate it: invalid argument"},
			{"read an unregistered file", func(op *Op) { *op = Read(RegisteredFile(7), make([]byte, 8), 0) },
				syscall.EBADF, "read", "read registered file 7: bad file descriptor"},
			{"close no descriptor", func(op *Op) { *op = CloseHandle(^Handle(0)) },
				syscall.EBADF, "close", "close handle -1: bad file descriptor"},
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
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	syscall.Close(p[0])
	t.Cleanup(func() { syscall.Close(p[1]) })
	return Handle(p[0]), Handle(p[1])
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
	r, w := pipe(t)
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
	defer syscall.Close(int(fd))
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
		func() { op = PollReady(w, PollOut) },
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
		r, w := pipe(t)
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
