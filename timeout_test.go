package ringport

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

func TestTimeout_FiresOnce(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, d := range []time.Duration{time.Millisecond, time.Microsecond, time.Nanosecond, 0, -1, math.MinInt64} {
			fired := make(chan bool, 2)
			before := m.timeouts.now() // time.Now is another clock, and a coarser one on Windows
			timeout := m.AfterFunc(d, func() { fired <- m.timeouts.now()-before >= int64(d) })
			if !receive(t, m, fired) {
				t.Errorf("%v: fired too early", d)
			}
			if timeout.Stop() {
				t.Errorf("%v: Stop reports a timeout that has fired as pending", d)
			}
			last := make(chan bool, 1)
			m.AfterFunc(0, func() { last <- true })
			receive(t, m, last)
			if len(fired) != 0 {
				t.Errorf("%v: fired twice", d)
			}
		}
		if s := m.Stats(); s.Timeouts != 12 || s.PendingTimeouts != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestTimeout_NotInsideTheCaller sets timeouts that are due at once under a lock that they take themselves.
func TestTimeout_NotInsideTheCaller(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		var mu sync.Mutex
		fired := make(chan bool, 2)
		f := func() {
			mu.Lock()
			defer mu.Unlock()
			fired <- true
		}
		mu.Lock()
		timeout := m.AfterFunc(-time.Second, f)
		mu.Unlock()
		receive(t, m, fired)
		mu.Lock()
		timeout.Reset(0)
		mu.Unlock()
		receive(t, m, fired)
	})
}

func TestTimeout_TooFarIsNever(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		fired := make(chan string, 3)
		never := m.AfterFunc(math.MaxInt64, func() { fired <- "never" })
		almost := m.AfterFunc(math.MaxInt64-1, func() { fired <- "almost never" })
		if d, ok := m.NextTimeout(); ok && d < 200*365*24*time.Hour {
			t.Errorf("the next timeout is in %v", d)
		}
		m.AfterFunc(time.Millisecond, func() { fired <- "soon" })
		if s := receive(t, m, fired); s != "soon" {
			t.Errorf("fired: %s", s)
		}
		if !never.Stop() || !almost.Reset(math.MaxInt64) || !almost.Stop() || len(fired) != 0 {
			t.Error("they are not pending")
		}
	})
}

func TestTimeout_ReportsWhetherPending(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		fired := make(chan bool, 2)
		timeout := m.AfterFunc(time.Hour, func() { fired <- true })
		for i, step := range []struct {
			does func() bool
			want bool
		}{
			{func() bool { return timeout.Reset(2 * time.Hour) }, true},
			{func() bool { return timeout.Reset(time.Hour) }, true},
			{timeout.Stop, true},
			{timeout.Stop, false},
			{func() bool { return timeout.Reset(time.Hour) }, false},
			{func() bool { return timeout.Reset(0) }, true},
			{func() bool { return receive(t, m, fired) }, true},
			{timeout.Stop, false},
			{func() bool { return timeout.Reset(0) }, false},
			{func() bool { return receive(t, m, fired) }, true},
			{func() bool { return timeout.Reset(time.Hour) }, false},
		} {
			if got := step.does(); got != step.want {
				t.Errorf("step %d: %v", i, got)
			}
		}
		if s := m.Stats(); s.PendingTimeouts != 1 || s.Timeouts != 2 {
			t.Errorf("%+v", s)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if timeout.Stop() || timeout.Reset(0) || len(fired) != 0 {
			t.Error("pending after Close")
		}
	})
}

// TestTimeout_ResetInCallback makes a ticker of a timeout.
func TestTimeout_ResetInCallback(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		const ticks = 1000
		m := open(t, c)
		done := make(chan int, 2)
		n := 0
		var timeout *Timeout
		timeout = m.AfterFunc(time.Hour, func() {
			if n++; n == ticks {
				done <- n
			} else if timeout.Reset(time.Duration(n % 3)) {
				t.Error("a timeout that runs is reported as pending")
			}
		})
		timeout.Reset(0)
		receive(t, m, done)
		op := Nop()
		do(t, m, &op)
		if len(done) != 0 {
			t.Error("ran on")
		}
	})
}

// TestTimeout_Order lets many timeouts expire; one worker runs them in the order of their deadlines.
func TestTimeout_Order(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.MinWorkers, c.MaxWorkers = 1, 1
		m := open(t, c)
		rng := rand.New(rand.NewPCG(testSeed(t), 3))
		const many = 2000
		deadlines := make([]bounds, many)
		ready := make(chan struct{})
		fired := make(chan int, many)
		m.AfterFunc(0, func() { <-ready }) // nothing else fires until all are set
		for i := range deadlines {
			deadlines[i].set(m, time.Duration(rng.Int64N(int64(5*time.Millisecond))), func(d time.Duration) {
				m.AfterFunc(d, func() { fired <- i })
			})
		}
		close(ready)
		last := bounds{}
		for range many {
			deadline := deadlines[receive(t, m, fired)]
			if deadline.to < last.from {
				t.Fatalf("deadline %v fired after %v", deadline, last)
			}
			if deadline.from > last.from {
				last = deadline
			}
		}
	})
}

// TestTimeout_BeforeCompletions: a step runs what is due first.
func TestTimeout_BeforeCompletions(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		var order []string
		op := Nop()
		if err := m.Start(&op, func(*Op) { order = append(order, "completion") }); err != nil {
			t.Fatal(err)
		}
		m.AfterFunc(0, func() { order = append(order, "timeout") })
		for len(order) < 2 {
			if _, err := m.Step(patience.Limit); err != nil {
				t.Fatal(err)
			}
		}
		if order[0] != "timeout" {
			t.Error(order)
		}
	})
}

// TestTimeout_EndsTheWait: a step without a limit ends at the next timeout, and one with a shorter limit before.
func TestTimeout_EndsTheWait(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		n := 0
		m.AfterFunc(time.Hour, func() { n += 100 })
		m.AfterFunc(2*time.Millisecond, func() { n++ })
		if ran, err := m.Step(0); ran != 0 || err != nil {
			t.Log("2 ms went by:", ran, err)
		}
		for n == 0 {
			if _, err := m.Step(-1); err != nil {
				t.Fatal(err)
			}
		}
		if ran, err := m.Step(time.Millisecond); ran != 0 || err != nil || n != 1 {
			t.Errorf("%d, %v; n is %d", ran, err, n)
		}
	})
}

// TestTimeout_WakesOnlyForTheEarliest counts how often the driver is woken, and what it waits for.
func TestTimeout_WakesOnlyForTheEarliest(t *testing.T) {
	m, d := openFake(t, Config{})
	wait := func(lo, hi time.Duration) {
		t.Helper()
		if got := receive(t, m, d.waits); got < lo || got > hi {
			t.Fatalf("the loop waits for %v, and not between %v and %v", got, lo, hi)
		}
	}
	wakes := func(want int64) {
		t.Helper()
		if got := d.wakes.Load(); got != want {
			t.Fatalf("%d wakes, want %d", got, want)
		}
	}
	never := func() { t.Error("fired") }
	wait(-1, -1)
	hour := m.AfterFunc(time.Hour, never)
	wait(time.Hour-patience.Limit, time.Hour)
	wakes(1)
	later := m.AfterFunc(2*time.Hour, never)
	later.Reset(3 * time.Hour)
	later.Reset(90 * time.Minute)
	hour.Reset(100 * time.Minute) // later: the wait just ends too early
	later.Stop()
	wakes(1)
	minutes := m.AfterFunc(30*time.Minute, never)
	wait(30*time.Minute-patience.Limit, 30*time.Minute)
	wakes(2)
	minutes.Reset(20 * time.Minute)
	wait(20*time.Minute-patience.Limit, 20*time.Minute)
	wakes(3)
	minutes.Stop()
	hour.Stop()
	wakes(3)
}

// TestTimeout_NotLostAfterAStop: the loop, on its way, finds that the timeout it waited for was stopped, and sleeps without
// one. The next timeout must wake it, though it is due later than the stopped one was.
func TestTimeout_NotLostAfterAStop(t *testing.T) {
	m, d := openFake(t, Config{})
	if got := receive(t, m, d.waits); got != -1 {
		t.Fatalf("waits for %v", got)
	}
	m.AfterFunc(time.Hour, func() {}).Stop()
	m.Wake()
	for receive(t, m, d.waits) != -1 {
	}
	fired := make(chan bool, 1)
	later := m.AfterFunc(2*time.Hour, func() { fired <- true })
	for receive(t, m, d.waits) <= time.Hour { // of the Wake above, perhaps
	}
	later.Reset(0)
	receive(t, m, fired)
}

func TestTimeout_NextTimeoutIsExact(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		check := func(want time.Duration, set func()) {
			t.Helper()
			before := m.timeouts.now()
			set()
			after := m.timeouts.now()
			d, ok := m.NextTimeout()
			now := m.timeouts.now()
			if lo, hi := want-time.Duration(now-before), want; !ok || d < lo || d > hi || after < before {
				t.Errorf("NextTimeout %v, %v; want from %v to %v", d, ok, lo, hi)
			}
		}
		if d, ok := m.NextTimeout(); ok {
			t.Errorf("NextTimeout %v without a timeout", d)
		}
		var a, b *Timeout
		check(time.Hour, func() { a = m.AfterFunc(time.Hour, func() {}) })
		check(time.Minute, func() { b = m.AfterFunc(time.Minute, func() {}) })
		check(90*time.Minute, func() { b.Stop(); a.Reset(90 * time.Minute) })
		check(30*time.Minute, func() { b.Reset(30 * time.Minute) })
		a.Stop()
		b.Stop()
		if d, ok := m.NextTimeout(); ok {
			t.Errorf("NextTimeout %v after the last Stop", d)
		}
		if m.shared {
			return
		}
		m.AfterFunc(0, func() {})
		if d, ok := m.NextTimeout(); d != 0 || !ok {
			t.Errorf("NextTimeout %v, %v with one due", d, ok)
		}
		if ran, err := m.Step(0); ran != 1 || err != nil {
			t.Errorf("Step: %d, %v", ran, err)
		}
	})
}

// bounds is what a test knows of a deadline: it is not before from and not after to, on the manager's clock.
type bounds struct{ from, to int64 }

// set calls f, which sets a timeout to d, and notes its deadline.
func (w *bounds) set(m *Manager, d time.Duration, f func(d time.Duration)) {
	later := func() int64 {
		if at := m.timeouts.now() + int64(max(d, 0)); at >= 0 {
			return at
		}
		return math.MaxInt64
	}
	w.from = later()
	f(d)
	w.to = later()
}

// model is the list that a manager's timeouts are compared with.
type model struct {
	entries []*modelEntry
	fired   []bounds // in the last step
}

type modelEntry struct {
	timeout  *Timeout
	pending  bool
	deadline bounds
}

// TestTimeout_AgainstAModel does a hundred thousand random edits and steps, and compares each answer with a plain list.
func TestTimeout_AgainstAModel(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		const edits = 100_000
		m := open(t, c)
		rng := rand.New(rand.NewPCG(testSeed(t), 4))
		var list model
		duration := func() time.Duration {
			switch rng.IntN(10) {
			case 0:
				return -time.Duration(rng.Int64N(1000))
			case 1:
				return math.MaxInt64 - time.Duration(rng.Int64N(3))
			case 2:
				return time.Duration(rng.Int64N(int64(time.Hour)))
			default:
				return time.Duration(rng.Int64N(int64(300 * time.Microsecond)))
			}
		}
		for i := range edits {
			var e *modelEntry
			if len(list.entries) > 0 {
				e = list.entries[rng.IntN(len(list.entries))]
			}
			switch k := rng.IntN(100); {
			case len(list.entries) < 300 && k < 10 || e == nil:
				e = &modelEntry{pending: true}
				again := rng.IntN(4) == 0
				e.deadline.set(m, duration(), func(d time.Duration) {
					e.timeout = m.AfterFunc(d, func() {
						if !e.pending {
							t.Errorf("edit %d: fired, though not pending", i)
						}
						e.pending = false
						list.fired = append(list.fired, e.deadline)
						if again {
							again, e.pending = false, true
							e.deadline.set(m, duration(), func(d time.Duration) { e.timeout.Reset(d) })
						}
					})
				})
				list.entries = append(list.entries, e)
			case k < 60:
				e.deadline.set(m, duration(), func(d time.Duration) {
					if got := e.timeout.Reset(d); got != e.pending {
						t.Fatalf("edit %d: Reset says %v, the list %v", i, got, e.pending)
					}
				})
				e.pending = true
			case k < 80:
				if got := e.timeout.Stop(); got != e.pending {
					t.Fatalf("edit %d: Stop says %v, the list %v", i, got, e.pending)
				}
				e.pending = false
			default:
				list.step(t, m)
			}
		}
	})
}

// step steps without a wait. What was due before must fire, in order, and what was not due afterwards must not.
func (list *model) step(t *testing.T, m *Manager) {
	t.Helper()
	before := m.timeouts.now()
	next := bounds{math.MaxInt64, math.MaxInt64}
	n := int64(0)
	for _, e := range list.entries {
		if e.pending {
			n++
			next.from, next.to = min(next.from, e.deadline.from), min(next.to, e.deadline.to)
		}
	}
	if s := m.Stats(); s.PendingTimeouts != n {
		t.Fatalf("%d pending, the list says %d", s.PendingTimeouts, n)
	}
	d, ok := m.NextTimeout()
	if !ok && next.to != math.MaxInt64 || ok && (int64(d) > max(next.to-before, 0) || int64(d) < next.from-m.timeouts.now()) {
		t.Fatalf("NextTimeout %v, %v; the list says %v", d, ok, time.Duration(next.to-before))
	}
	list.fired = list.fired[:0]
	if _, err := m.Step(0); err != nil {
		t.Fatal(err)
	}
	after := m.timeouts.now()
	for _, e := range list.entries {
		if e.pending && e.deadline.to <= before {
			t.Fatalf("deadline %v has not fired at %d", e.deadline, before)
		}
	}
	for i, deadline := range list.fired {
		if deadline.from > after {
			t.Fatalf("deadline %v fired at %d", deadline, after)
		}
		if i > 0 && list.fired[i-1].from > deadline.to {
			t.Fatalf("deadline %v fired after %v", deadline, list.fired[i-1])
		}
	}
}

// TestTimeout_EveryArmingEndsOnce edits timeouts from several goroutines. Each arming ends exactly once: it fires, or Stop or
// Reset says that it was pending.
func TestTimeout_EveryArmingEndsOnce(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		const goroutines, edits = 4, 25_000
		m := open(t, c)
		seed := testSeed(t)
		type entry struct {
			timeout             *Timeout
			armed, fired, taken atomic.Int64
		}
		list := make([]*entry, 64)
		for i := range list {
			e := new(entry)
			list[i] = e
			e.armed.Add(1)
			e.timeout = m.AfterFunc(time.Hour, func() { e.fired.Add(1) })
		}
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(g)))
				for range edits {
					e := list[rng.IntN(len(list))]
					if rng.IntN(3) == 0 {
						if e.timeout.Stop() {
							e.taken.Add(1)
						}
						continue
					}
					e.armed.Add(1)
					if e.timeout.Reset(time.Duration(rng.Int64N(int64(200 * time.Microsecond)))) {
						e.taken.Add(1)
					}
				}
			})
		}
		wg.Wait()
		// Two of three were armed last, for 200 µs at most. On one processor the edits may be over before any could fire.
		if err := patience.Until(func() error {
			if slices.ContainsFunc(list, func(e *entry) bool { return e.fired.Load() > 0 }) {
				return nil
			}
			return errors.New("none fires")
		}); err != nil {
			t.Error(err)
		}
		for _, e := range list {
			if e.timeout.Stop() {
				e.taken.Add(1)
			}
		}
		// What is not pending and was not taken is about to run: Close waits for it.
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for i, e := range list {
			if a, f, s := e.armed.Load(), e.fired.Load(), e.taken.Load(); a != f+s {
				t.Errorf("timeout %d: armed %d times, fired %d and taken back %d", i, a, f, s)
			}
			total += e.fired.Load()
		}
		if s := m.Stats(); s.Timeouts != total {
			t.Errorf("%d fired: %+v", total, s)
		}
	})
}

// TestTimeout_Many holds a million timeouts (less where scaled) at once, and lets all of them fire.
func TestTimeout_Many(t *testing.T) {
	many := lessUnderRace(scaled(1_000_000))
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		rng := rand.New(rand.NewPCG(testSeed(t), 5))
		var fired atomic.Int64
		done := make(chan bool, 1)
		timeouts := make([]*Timeout, many)
		for i := range timeouts {
			timeouts[i] = m.AfterFunc(time.Hour+time.Duration(rng.Int64N(int64(time.Hour))), func() {
				if fired.Add(1) == int64(many) {
					done <- true
				}
			})
		}
		if s := m.Stats(); s.PendingTimeouts != int64(many) {
			t.Errorf("%d pending", s.PendingTimeouts)
		}
		for _, i := range rng.Perm(many) {
			timeouts[i].Reset(time.Duration(rng.Int64N(int64(10 * time.Millisecond))))
		}
		receive(t, m, done)
		if s := m.Stats(); s.PendingTimeouts != 0 || s.Timeouts != int64(many) {
			t.Errorf("%+v", s)
		}
	})
}

func TestTimeout_NilFunctionPanics(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
			if s := m.Stats(); s.PendingTimeouts != 0 {
				t.Errorf("%+v", s)
			}
		}()
		m.AfterFunc(0, nil)
	})
}

var timeoutPanic = child("timeout panic", func() error { return panicIn("timeout") })

// panicIn panics in a callback of a manager made as the environment says: all that should be seen of it is the panic.
func panicIn(where string) error {
	m, err := New(Config{Backend: os.Getenv(BackendVariable), CallerDriven: os.Getenv("MODE") == modeName(true)})
	if err != nil {
		return err
	}
	op := Nop()
	if where == "timeout" {
		m.AfterFunc(0, func() { panic("out of " + where) })
	} else if err := m.Start(&op, func(*Op) { panic("out of " + where) }); err != nil {
		return err
	}
	for end := time.Now().Add(patience.Limit); time.Now().Before(end); runtime.Gosched() {
		m.Step(-1)
	}
	return fmt.Errorf("the panic was swallowed")
}

func checkPanic(t *testing.T, c Config, name, where string) {
	t.Helper()
	out, err := childCommand(t, name, BackendVariable+"="+c.Backend, "MODE="+modeName(c.CallerDriven)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: out of "+where) || strings.Contains(string(out), "[recovered") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTimeout_PanicIsNotSwallowed(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) { checkPanic(t, c, timeoutPanic, "timeout") })
}
