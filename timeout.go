package ringport

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringport/ringport/internal/clock"
	"github.com/ringport/ringport/internal/timerq"
)

// Timeout is a function that a manager will run once, at a time that can be changed. See [Manager.AfterFunc].
type Timeout struct {
	timer timerq.Timer[*Timeout]
	m     *Manager
	f     func()
}

// timeouts is a manager's timer queue. The lock is for threaded managers; nothing waits and no function runs under it.
type timeouts struct {
	m       *Manager
	mu      sync.Mutex
	queue   timerq.Queue[*Timeout]
	stopped bool
	start   int64 // deadlines are nanoseconds since then, on the monotonic clock
}

func (ts *timeouts) init(m *Manager) { ts.m, ts.start = m, clock.Nanos() }

func (ts *timeouts) lock() {
	if ts.m.shared {
		ts.mu.Lock()
	}
}

func (ts *timeouts) unlock() {
	if ts.m.shared {
		ts.mu.Unlock()
	}
}

// AfterFunc makes the manager run f once, after d: on a worker's goroutine (threaded), or in Step (caller-driven). With d ≤ 0
// it is due at once, and still never runs inside the caller's stack. A d too far in the future to be counted is never. After
// Close nothing fires. It panics if f is nil.
func (m *Manager) AfterFunc(d time.Duration, f func()) *Timeout {
	if f == nil {
		panic("ringport: AfterFunc with a nil function")
	}
	t := &Timeout{m: m, f: f}
	t.timer.Value = t
	t.Reset(d)
	return t
}

// Reset makes t run after d from now, whether it is pending, stopped or has run, and reports whether it was pending. As with
// time.Timer, a run that has begun is not undone.
func (t *Timeout) Reset(d time.Duration) (wasPending bool) {
	ts := &t.m.timeouts
	now := ts.now()
	deadline := now + int64(max(d, 0))
	if deadline < 0 {
		deadline = math.MaxInt64
	}
	ts.lock()
	if ts.stopped {
		ts.unlock()
		return false
	}
	if ts.queue.Len() == 0 {
		ts.queue.PopExpired(now) // nobody told it the time while it was empty
	}
	wasPending, earlier := ts.queue.Set(&t.timer, deadline)
	ts.unlock()
	if earlier && (t.m.shared || t.m.loop.waits) {
		t.m.poke() // the loop waits for a later one
	}
	return wasPending
}

// Stop keeps t from running, and reports whether it was pending. When it returns true, f has not run and will not until a
// Reset; when it returns false, f has run, is about to, or was stopped before.
func (t *Timeout) Stop() (wasPending bool) {
	ts := &t.m.timeouts
	ts.lock()
	defer ts.unlock()
	return !ts.stopped && ts.queue.Stop(&t.timer)
}

// now is the monotonic clock, in nanoseconds.
func (ts *timeouts) now() int64 { return clock.Nanos() - ts.start }

// takeDue moves the expired timeouts into due, and returns how long it is to the next, negative if there is none.
func (ts *timeouts) takeDue(due *fifo[func()]) (next time.Duration) {
	ts.lock()
	defer ts.unlock()
	if ts.queue.Len() == 0 {
		return ts.until(0) // -1; the queue must hear that nobody waits any more, or a later Set would not be news to it
	}
	now := ts.now()
	for {
		t := ts.queue.PopExpired(now)
		if t == nil {
			break
		}
		due.push(t.Value.f)
		atomic.AddInt64(&ts.m.counters.timeouts, 1)
	}
	return ts.until(now)
}

// until is how long it is from now to the earliest deadline.
func (ts *timeouts) until(now int64) time.Duration {
	deadline, ok := ts.queue.Earliest()
	if !ok || deadline == math.MaxInt64 {
		return -1
	}
	return time.Duration(max(deadline-now, 0))
}

func (ts *timeouts) next() (d time.Duration, ok bool) {
	ts.lock()
	defer ts.unlock()
	d = ts.until(ts.now())
	return max(d, 0), d >= 0
}

func (ts *timeouts) pending() int64 {
	ts.lock()
	defer ts.unlock()
	return int64(ts.queue.Len())
}

// stopAll ends all timeouts for good.
func (ts *timeouts) stopAll() {
	ts.lock()
	defer ts.unlock()
	ts.stopped = true
	ts.queue = timerq.Queue[*Timeout]{}
}
