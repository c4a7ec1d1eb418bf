package ringport

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/ringport/ringport/internal/patience"
)

// blockCallbacks starts n operations whose callbacks block, and returns when all do.
func blockCallbacks(t *testing.T, m *Manager, n int) (release func()) {
	t.Helper()
	entered, gate, left := make(chan bool, n), make(chan bool), make(chan bool, n)
	ops := make([]Op, n)
	for i := range ops {
		ops[i] = Nop()
		if err := m.Start(&ops[i], func(*Op) {
			entered <- true
			<-gate
			left <- true
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		receive(t, m, entered)
	}
	return func() {
		close(gate)
		for range n {
			<-left
		}
	}
}

// workersBecome waits until there are as many workers.
func workersBecome(t *testing.T, m *Manager, workers, idle int) {
	t.Helper()
	if err := patience.Until(func() error {
		if s := m.Stats(); s.Workers != workers || s.IdleWorkers != idle {
			return fmt.Errorf("%d workers, %d of them idle; want %d and %d", s.Workers, s.IdleWorkers, workers, idle)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestWorkers_GrowAndShrink: one worker waits, others are in callbacks; of those that come back, MinWorkers stay.
func TestWorkers_GrowAndShrink(t *testing.T) {
	for _, test := range []struct{ min, max, blocked, grown, idle int }{
		{0, 0, 50, 51, 1},
		{1, 0, 10, 11, 0},
		{1, 2, 1, 2, 0},
		{4, 8, 3, 4, 3},
		{4, 8, 7, 8, 3},
		{4, 8, 8, 8, 3},
		{6, 6, 6, 6, 5},
	} {
		t.Run(fmt.Sprintf("%d to %d, %d blocked", test.min, test.max, test.blocked), func(t *testing.T) {
			forThreaded(t, func(t *testing.T, c Config) {
				c.MinWorkers, c.MaxWorkers = test.min, test.max
				m := open(t, c)
				for range 3 {
					release := blockCallbacks(t, m, test.blocked)
					workersBecome(t, m, test.grown, 0)
					release()
					workersBecome(t, m, test.idle+1, test.idle)
					op := Nop()
					do(t, m, &op)
				}
			})
		})
	}
}

// TestWorkers_AtTheLimit: callbacks wait while MaxWorkers are blocked, and are run when one comes back.
func TestWorkers_AtTheLimit(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		c.MaxWorkers = 3
		m := open(t, c)
		release := blockCallbacks(t, m, 3)
		const waiting = 100
		var ran atomic.Int32
		ops := make([]Op, waiting)
		for i := range ops {
			ops[i] = Nop()
			if err := m.Start(&ops[i], func(*Op) { ran.Add(1) }); err != nil {
				t.Fatal(err)
			}
		}
		fired := make(chan bool, 1)
		m.AfterFunc(0, func() { fired <- true })
		for range 1000 {
			runtime.Gosched()
		}
		if s := m.Stats(); s.Workers != 3 || ran.Load() != 0 || len(fired) != 0 {
			t.Errorf("%d callbacks ran beside three blocked ones: %+v", ran.Load(), s)
		}
		release()
		receive(t, m, fired)
		if err := patience.Until(func() error {
			if n := ran.Load(); n != waiting {
				return fmt.Errorf("%d of %d ran", n, waiting)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestWorkers_CallbacksWaitForEachOther: each of a batch of callbacks waits for all others to have begun.
func TestWorkers_CallbacksWaitForEachOther(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		blockCallbacks(t, m, 200)()
	})
}

// TestWorkers_Goexit ends goroutines of workers from callbacks and timeouts. Nothing else is lost.
func TestWorkers_Goexit(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		for _, workers := range []int{0, 1} {
			c.MinWorkers, c.MaxWorkers = workers, workers
			m := open(t, c)
			const n = 200
			var ran atomic.Int32
			done := make(chan bool, 2*n)
			ops := make([]Op, n)
			for i := range ops {
				ops[i] = Nop()
				end := func() {
					ran.Add(1)
					done <- true
					if i%3 == 0 {
						runtime.Goexit()
					}
				}
				if err := m.Start(&ops[i], func(*Op) { end() }); err != nil {
					t.Fatal(err)
				}
				m.AfterFunc(0, end)
			}
			for range 2 * n {
				receive(t, m, done)
			}
			op := Nop()
			if _, err := m.Do(context.Background(), &op); err != nil {
				t.Error(err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if got := ran.Load(); got != 2*n {
				t.Errorf("%d ran", got)
			}
		}
	})
}

// TestWorkers_CloseAndGoexit closes the manager in a callback that then ends its goroutine.
func TestWorkers_CloseAndGoexit(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		closed := make(chan error, 1)
		op := Nop()
		if err := m.Start(&op, func(*Op) {
			closed <- m.Close()
			runtime.Goexit()
		}); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, m, closed); err != nil {
			t.Error(err)
		}
		workersBecome(t, m, 0, 0)
	})
}

var callbackPanic = child("callback panic", func() error { return panicIn("callback") })

func TestWorkers_PanicIsNotSwallowed(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) { checkPanic(t, c, callbackPanic, "callback") })
}

// TestBatch_DoublesWhenFilled: the array for completions begins with room for 64, and doubles when a wait fills it.
func TestBatch_DoublesWhenFilled(t *testing.T) {
	t.Run("threaded", func(t *testing.T) {
		m, d := openFake(t, Config{MaxWorkers: 1}) // each worker has a batch of its own
		for want := batchStart; want <= 2*batchMax; want *= 2 {
			d.mu.Lock() // the operations come back together
			room := min(want, batchMax)
			for range room {
				op := new(Op)
				*op = Nop()
				d.mu.Unlock()
				if err := m.Start(op, func(*Op) {}); err != nil {
					t.Fatal(err)
				}
				d.mu.Lock()
			}
			d.mu.Unlock()
			d.Wake()
			if err := patience.Until(func() error {
				if s := m.Stats(); s.InFlight != 0 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			d.mu.Lock()
			if d.batch != room {
				t.Errorf("a batch of %d, want %d", d.batch, room)
			}
			d.mu.Unlock()
		}
	})
	forCallerDriven(t, func(t *testing.T, c Config) {
		c.Depth = MaxDepth
		m := open(t, c)
		for want := batchStart; want <= 2*batchMax; want *= 2 {
			room := min(want, batchMax)
			if got := len(m.loop.batch); got != room {
				t.Fatalf("a batch of %d, want %d", got, room)
			}
			ops := make([]Op, room)
			ran := 0
			for i := range ops {
				ops[i] = Nop()
				if err := m.Start(&ops[i], func(*Op) { ran++ }); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Flush(); err != nil {
				t.Fatal(err)
			}
			for ran < room {
				if _, err := m.Step(patience.Limit); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestWorkers_Runs: whose callback the caller is in is told though another worker has not yet found the way out of an earlier call of it.
func TestWorkers_Runs(t *testing.T) {
	op, other := new(Op), new(Op)
	self := &worker{goroutine: goroutineNumber(), calling: op}
	p := &workers{all: map[*worker]struct{}{self: {}}}
	for i := range 20 {
		p.all[&worker{goroutine: int64(-1 - i), calling: op}] = struct{}{}
	}
	if !p.runs(op) || p.runs(other) {
		t.Errorf("its own: %v, another: %v", p.runs(op), p.runs(other))
	}
	self.calling = other
	if p.runs(op) || !p.runs(other) {
		t.Errorf("afterwards: %v, %v", p.runs(op), p.runs(other))
	}
}
