package ringport

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

func TestLaw4_CloseDrains(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := pipe(t, m)
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
		if n, err := rawRead(r, buf); string(buf[:n]) != "still here" || err != nil {
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
		r, _ := pipe(t, m)
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
		for range scaled(100) {
			m := open(t, c)
			r, _ := pipe(t, m)
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
					r, _ := pipe(t, m)
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

// TestLaw5_WakeIsNeverLost wakes a million times (less where scaled) from another goroutine, in bursts, each of which must make a Step return.
func TestLaw5_WakeIsNeverLost(t *testing.T) {
	total := int64(scaled(1_000_000))
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		seed := testSeed(t)
		var posted, seen atomic.Int64
		all := make(chan struct{})
		go func() {
			defer close(all)
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
			ran, err := m.Step(patience.Limit)
			if err != nil {
				t.Fatal(err)
			}
			if ran != 0 {
				t.Fatalf("a wake was taken for %d completions", ran)
			}
			seen.Store(posted.Load())
		}
		<-all // the last wake may come after a Step that an earlier one made return
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
		r, w := pipe(t, m)
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
