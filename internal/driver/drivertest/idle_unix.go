//go:build unix

package drivertest

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what the process has used.
type usage struct {
	cpu      time.Duration
	switches int64 // that it asked for: a thread that blocks is one
}

func usageNow(f *fixture) usage {
	f.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		f.Fatal(err)
	}
	return usage{time.Duration(u.Utime.Nano() + u.Stime.Nano()), int64(u.Nvcsw)}
}

// idle compares a process whose driver waits, for ever or for long, with one that waits for a timer and nothing else. The least of
// several tries counts, since the runtime has things of its own to do.
func idle(f *fixture) {
	const period, tries = 200 * time.Millisecond, 3
	q := waiting(f, 1)[0]
	f.stay(q)
	wait := func(timeout time.Duration) func(woken *atomic.Bool) int {
		return func(woken *atomic.Bool) (waits int) {
			for ; !woken.Load(); waits++ {
				f.collect(timeout)
			}
			return waits
		}
	}
	least := func(idle func(woken *atomic.Bool) int) (l usage, waits int) {
		for try := range tries {
			var woken atomic.Bool
			before := usageNow(f)
			time.AfterFunc(period, func() {
				woken.Store(true)
				f.d.Wake()
			})
			n := idle(&woken)
			after := usageNow(f)
			u := usage{after.cpu - before.cpu, after.switches - before.switches}
			if try == 0 {
				l, waits = u, n
			}
			l = usage{min(l.cpu, u.cpu), min(l.switches, u.switches)}
			waits = min(waits, n)
		}
		return l, waits
	}
	base, _ := least(func(woken *atomic.Bool) int { <-time.After(period + time.Millisecond); return 0 })
	f.collect(0) // the wakes
	for _, timeout := range []time.Duration{-1, time.Hour} {
		u, waits := least(wait(timeout))
		if waits > 2 || u.switches > base.switches+10 || u.cpu > base.cpu+period/20 {
			f.Errorf("timeout %v: %d waits, %d context switches, %v of CPU; an idle process: %d, %v", timeout, waits,
				u.switches, u.cpu, base.switches, base.cpu)
		}
	}
	f.cancel(q)
	f.canceled(q)
}
