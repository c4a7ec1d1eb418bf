package ringport

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// allocationsOf is how many allocations the whole process makes for each call of f, when it has warmed up.
func allocationsOf(f func()) float64 {
	calls := scaled(5000)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // a worker beside the caller
	for range calls {
		f()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(calls)
}

// mustNotAllocate lets f, which does some operations, make a few in a thousand of them: the runtime has its own, a collection
// empties pools, and a worker may be made now and then. On a busy machine there is more of that, but not each time: what f allocates by itself
// is there in each of five rounds. The race detector makes every fourth sync.Pool.Put forget.
func mustNotAllocate(t *testing.T, name string, operations int, f func()) {
	t.Helper()
	limit := 0.02
	if raceEnabled {
		limit = 0.99
	}
	n := allocationsOf(f)
	for round := 1; n > limit*float64(operations) && round < 5; round++ {
		n = allocationsOf(f)
	}
	if n /= float64(operations); n > limit {
		t.Errorf("%s: %.3f allocations an operation", name, n)
	}
}

func TestNoAllocations_Do(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		h := Handle(tempFile(t, m, make([]byte, 1<<16)).Fd())
		r, w := pipe(t, m)
		full, fill := pipe(t, m)
		put(t, fill, "x")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		one := []byte{1}
		for name, op := range map[string]*Op{
			"nop":   nop(),
			"read":  readOp(h, 4096, 4096),
			"write": writeOp(h, "some bytes", 100),
			"readv": ptr(func(op *Op) { *op = Readv(h, [][]byte{make([]byte, 8), make([]byte, 8)}, 0) }),
			"poll":  ptr(func(op *Op) { *op = PollReady(full, PollIn) }),
		} {
			run := func(ctx context.Context) func() {
				return func() {
					if _, err := m.Do(ctx, op); err != nil {
						t.Error(name, err)
					}
				}
			}
			mustNotAllocate(t, "Do of "+name, 1, run(context.Background()))
			mustNotAllocate(t, "Do of "+name+" with a context", 1, run(ctx))
		}
		read := readOp(r, 1, CurrentOffset)
		writeOne := ptr(func(op *Op) { *op = Write(w, one, CurrentOffset) })
		mustNotAllocate(t, "a byte through a pipe", 2, func() {
			if _, err := m.Do(context.Background(), writeOne); err != nil {
				t.Error(err)
			}
			if _, err := m.Do(context.Background(), read); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestNoAllocations_Start(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.MinWorkers, c.MaxWorkers = 16, 16 // those that are made stay
		m := open(t, c)
		h := Handle(tempFile(t, m, make([]byte, 1<<16)).Fd())
		for name, set := range map[string]func(op *Op){
			"nop":  func(op *Op) { *op = Nop() },
			"read": func(op *Op) { *op = Read(h, op.req.Buf, 4096) },
		} {
			ops := make([]Op, 8)
			for i := range ops {
				ops[i].req.Buf = make([]byte, 4096)
			}
			done := make(chan bool, len(ops))
			back := 0
			callback := func(*Op) { back++ }
			if m.shared {
				callback = func(*Op) { done <- true }
			}
			mustNotAllocate(t, "Start of "+name, len(ops), func() {
				back = 0
				for i := range ops {
					set(&ops[i])
					if err := m.Start(&ops[i], callback); err != nil {
						t.Error(err)
					}
				}
				if m.shared {
					for range ops {
						<-done
					}
					return
				}
				for back < len(ops) {
					if _, err := m.Step(-1); err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
}

func TestNoAllocations_Timeouts(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		const many = 1000
		timeouts := make([]*Timeout, many)
		for i := range timeouts {
			timeouts[i] = m.AfterFunc(time.Hour, func() {})
		}
		i := 0
		mustNotAllocate(t, "Reset", 1, func() {
			timeouts[i%many].Reset(time.Hour + time.Duration(i*7919%many)*time.Second)
			i++
		})
		mustNotAllocate(t, "Stop and Reset", 1, func() {
			timeouts[i%many].Stop()
			timeouts[i%many].Reset(time.Minute + time.Duration(i*7919%many)*time.Second)
			i++
		})
		fired := make(chan bool, 1)
		soon := m.AfterFunc(time.Hour, func() { fired <- true })
		mustNotAllocate(t, "Reset and fire", 1, func() {
			soon.Reset(0)
			for !m.shared && len(fired) == 0 {
				if _, err := m.Step(-1); err != nil {
					t.Error(err)
				}
			}
			<-fired
		})
	})
}

func TestNoAllocations_DoChain(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		a, b := nop(), nop()
		mustNotAllocate(t, "DoChain", 2, func() {
			if err := m.DoChain(context.Background(), a, b); err != nil {
				t.Error(err)
			}
		})
	})
}

// forBench runs f on each backend, in the given modes.
func forBench(b *testing.B, f func(b *testing.B, m *Manager), modes ...bool) {
	for _, name := range backendsHere(b) {
		for _, callerDriven := range modes {
			b.Run(name+"/"+modeName(callerDriven), func(b *testing.B) {
				m := open(b, Config{Backend: name, CallerDriven: callerDriven})
				b.ReportAllocs()
				f(b, m)
			})
		}
	}
}

// BenchmarkNop32 is no-op operations in batches of 32, through Start with a callback.
func BenchmarkNop32(b *testing.B) {
	forBench(b, func(b *testing.B, m *Manager) {
		const batch = 32
		ops := make([]Op, batch)
		n := 0
		back := func(*Op) { n++ }
		for b.Loop() {
			n = 0
			for i := range ops {
				ops[i] = Nop()
				if err := m.Start(&ops[i], back); err != nil {
					b.Fatal(err)
				}
			}
			for n < batch {
				if _, err := m.Step(-1); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/nop")
	}, true)
}

// BenchmarkDo is one operation that a goroutine waits for.
func BenchmarkDo(b *testing.B) {
	for _, kind := range []string{"nop", "cached read"} {
		b.Run(kind, func(b *testing.B) {
			forBench(b, func(b *testing.B, m *Manager) {
				op := nop()
				if kind != "nop" {
					op = readOp(Handle(tempFile(b, m, make([]byte, 1<<16)).Fd()), 4096, 0)
				}
				for b.Loop() {
					if _, err := m.Do(context.Background(), op); err != nil {
						b.Fatal(err)
					}
				}
			}, false, true)
		})
	}
}

// BenchmarkStart is a callback that starts the next operation, with 32 in flight.
func BenchmarkStart(b *testing.B) {
	forBench(b, func(b *testing.B, m *Manager) {
		const depth = 32
		ops := make([]Op, depth)
		var left atomic.Int64
		var flying atomic.Int64
		done := make(chan bool, 1)
		var again func(op *Op)
		again = func(op *Op) {
			if left.Add(-1) >= 0 {
				if err := m.Start(op, again); err != nil {
					b.Error(err)
				}
			} else if flying.Add(-1) == 0 {
				done <- true
			}
		}
		left.Store(int64(b.N))
		flying.Store(depth)
		b.ResetTimer()
		for i := range ops {
			ops[i] = Nop()
			if err := m.Start(&ops[i], again); err != nil {
				b.Fatal(err)
			}
		}
		receive(b, m, done)
	}, false, true)
}

// BenchmarkReset is a change among a million timeouts, against the standard library's.
func BenchmarkReset(b *testing.B) {
	const many = 1_000_000
	rng := rand.New(rand.NewPCG(1, 2))
	order, delay := make([]int32, 1<<16), make([]time.Duration, 1<<16)
	for i := range order {
		order[i], delay[i] = rng.Int32N(many), time.Hour+time.Duration(rng.Int64N(int64(time.Hour)))
	}
	forBench(b, func(b *testing.B, m *Manager) {
		timeouts := make([]*Timeout, many)
		for i := range timeouts {
			timeouts[i] = m.AfterFunc(time.Hour+time.Duration(rng.Int64N(int64(time.Hour))), func() {})
		}
		i := 0
		for b.Loop() {
			timeouts[order[i&0xffff]].Reset(delay[i&0xffff])
			i++
		}
	}, false, true)
	b.Run("time.AfterFunc", func(b *testing.B) {
		b.ReportAllocs()
		timers := make([]*time.Timer, many)
		for i := range timers {
			timers[i] = time.AfterFunc(time.Hour+time.Duration(rng.Int64N(int64(time.Hour))), func() {})
		}
		i := 0
		for b.Loop() {
			timers[order[i&0xffff]].Reset(delay[i&0xffff])
			i++
		}
		for _, timer := range timers {
			timer.Stop()
		}
	})
}
