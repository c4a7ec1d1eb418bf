package ringport

import (
	"sync/atomic"

	"github.com/ringport/ringport/internal/driver"
)

// Stats is what a manager has done and is doing. What a File does without waiting is added up now and then, at the latest when the
// file is closed.
type Stats struct {
	Backend string // BackendIOUring, …
	Why     string // why this backend, and why not a better one

	InFlight        int64            // operations started and not yet complete
	InFlightByKind  map[string]int64 // the same by kind ("read", "open", …; "raw": SQE, Overlapped); kinds with none are left out
	Completed       int64            // operations that are done, however they ended
	Canceled        int64            // of these: ended by a cancel
	Failed          int64            // of these: ended with another error
	Inline          int64            // of these: done at once, without waiting for a completion
	Foreign         int64            // completions of what the manager had not started: somebody's own overlapped call on an attached handle (Windows)
	Late            int64            // completions of operations that had ended in another way; none is delivered twice
	Wakes           int64            // calls of Wake
	Timeouts        int64            // timeouts that fired
	PendingTimeouts int64            // timeouts that are to fire

	Workers     int // goroutines that wait for completions or run callbacks
	IdleWorkers int // of these: neither, at this moment
	Threads     int // threads that the driver keeps for blocking calls; on Windows none for overlapped calls on attached handles
}

// counters are a manager's. In caller-driven mode only the owner touches them, and no add is atomic.
type counters struct {
	started, completed, canceled, failed, inline [driver.KindCount]int64

	wakes    atomic.Int64 // from any goroutine in both modes
	timeouts int64
}

// count adds one to a counter.
func (m *Manager) count(c *int64) {
	if m.shared {
		atomic.AddInt64(c, 1)
	} else {
		*c++
	}
}

// Stats returns the figures of this moment. On a caller-driven manager it is the owner's to call.
func (m *Manager) Stats() Stats {
	s := Stats{Backend: m.drv.Name(), Why: m.why, InFlightByKind: map[string]int64{}, Wakes: m.counters.wakes.Load(),
		Timeouts: atomic.LoadInt64(&m.counters.timeouts), PendingTimeouts: m.timeouts.pending(), Threads: m.drv.Threads()}
	s.Foreign, s.Late = m.drv.Strays()
	for k := range driver.KindCount {
		// Completed before started, so that what is in flight never shows negative.
		completed := atomic.LoadInt64(&m.counters.completed[k])
		n := atomic.LoadInt64(&m.counters.started[k]) - completed
		if k == driver.Recv {
			n += int64(m.arrivals.Waiting())
		}
		if n > 0 {
			s.InFlight += n
			s.InFlightByKind[k.String()] = n
		}
		s.Completed += completed
		s.Canceled += atomic.LoadInt64(&m.counters.canceled[k])
		s.Failed += atomic.LoadInt64(&m.counters.failed[k])
		s.Inline += atomic.LoadInt64(&m.counters.inline[k])
	}
	s.Inline += m.ofFiles.Load()
	s.Completed += m.ofFiles.Load()
	s.Workers, s.IdleWorkers = m.workers.count()
	return s
}
