//go:build unix

package drivertest

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what the process has used, and how often Wait returned meanwhile.
type usage struct {
	cpu      time.Duration
	switches int64 // that it asked for: a thread that blocks is one
	waits    int
}

func usageNow(f *fixture) usage {
	f.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		f.Fatal(err)
	}
	return usage{cpu: time.Duration(u.Utime.Nano() + u.Stime.Nano()), switches: int64(u.Nvcsw)}
}

// during is what the process uses in one idle period, which ends with a wake. Wait waits until then, and counts its returns.
func during(f *fixture, period time.Duration, wait func(woken *atomic.Bool) (waits int)) usage {
	var woken atomic.Bool
	before := usageNow(f)
	time.AfterFunc(period, func() {
		woken.Store(true)
		f.d.Wake()
	})
	waits := wait(&woken)
	after := usageNow(f)
	return usage{after.cpu - before.cpu, after.switches - before.switches, waits}
}

// idle compares a process whose driver waits, for ever or for long, with one that waits for a timer and nothing else. The runtime has
// things to do of its own, and now and then so has the machine: one quiet period out of several is enough, and one that polls has none.
func idle(f *fixture) {
	const period, tries = 200 * time.Millisecond, 20
	q := waiting(f, 1)[0]
	f.stay(q)
	base := during(f, period, func(*atomic.Bool) int { <-time.After(period + time.Millisecond); return 0 })
	f.collect(0) // the wake
	for _, timeout := range []time.Duration{-1, time.Hour} {
		var u usage
		for try := 0; try == 0 || u.waits > 2 || u.switches > base.switches+10 || u.cpu > base.cpu+period/20; try++ {
			if try == tries {
				f.Fatalf("timeout %v: %d waits, %d context switches, %v of CPU; an idle process: %d, %v", timeout, u.waits,
					u.switches, u.cpu, base.switches, base.cpu)
			}
			u = during(f, period, func(woken *atomic.Bool) (waits int) {
				for ; !woken.Load(); waits++ {
					f.collect(timeout)
				}
				return waits
			})
		}
	}
	f.cancel(q)
	f.canceled(q)
}
