package drivertest

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

// Law 5: no wake-up is lost, and nothing is mistaken for one. That an idle driver does nothing is the platform's to see. Linux:
// facts 10 and 23.
var wakeTests = []test{
	{name: "Law5WakeBeforeWait", run: wakeBefore},
	{name: "Law5WakeNeverLost", run: func(f *fixture) { wakers(f, 1) }},
	{name: "Law5WakeFromManyGoroutines", run: func(f *fixture) { wakers(f, 4) }},
	{name: "Law5WakeBesideCompletions", run: wakeBesideCompletions},
	{name: "Law5WakeBesideTimeouts", run: wakeBesideTimeouts},
	{name: "Law5WaitEndsAfterItsTimeout", run: timeouts},
	{name: "Law5WaitForEver", run: forEver},
	{name: "Law5SubmissionDuringWait", run: submissionDuringWait, modes: sharedOnly},
}

func wakeBefore(f *fixture) {
	for range 100 {
		f.d.Wake()
		f.d.Wake()
		f.collect(-1)
	}
}

// wakers has n goroutines wake the driver, each again when its last wake has been seen: a single lost one and the test hangs.
func wakers(f *fixture, n int) {
	const rounds = 500
	var wg sync.WaitGroup
	posted, seen := make([]atomic.Int64, n), make([]atomic.Int64, n)
	for i := range n {
		wg.Go(func() {
			for round := range int64(rounds) {
				posted[i].Store(round + 1)
				f.d.Wake()
				for seen[i].Load() <= round {
					runtime.Gosched()
				}
			}
		})
	}
	for left := n; left > 0; {
		f.collect(-1)
		left = 0
		for i := range n {
			p := posted[i].Load()
			seen[i].Store(p)
			if p < rounds {
				left++
			}
		}
	}
	wg.Wait()
}

// wakeBesideCompletions: neither swallows the other.
func wakeBesideCompletions(f *fixture) {
	r, w := f.pipe()
	for i := range 300 {
		q := read(r, 4, driver.CurrentOffset)
		back := f.start(q)
		f.flush()
		var woken atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			woken.Store(true)
			f.d.Wake()
		})
		wg.Go(func() {
			for range i % 5 {
				runtime.Gosched()
			}
			if err := put(w, "data"); err != nil {
				f.Error(err)
			}
		})
		f.await(q)
		<-back
		if got(q) != "data" || q.Err != nil {
			f.Fatalf("%q, %v", got(q), q.Err)
		}
		for !woken.Load() {
			f.collect(-1)
		}
		wg.Wait()
	}
}

func wakeBesideTimeouts(f *fixture) {
	var wg sync.WaitGroup
	for i := range 200 {
		var woken atomic.Bool
		wg.Go(func() {
			for range i % 5 {
				runtime.Gosched()
			}
			woken.Store(true)
			f.d.Wake()
		})
		f.collect(time.Duration(i%3) * time.Microsecond)
		for !woken.Load() {
			f.collect(-1)
		}
	}
	wg.Wait()
}

// timeouts: each Wait ends, with nothing. How long it takes is not for a test to say.
func timeouts(f *fixture) {
	q := waiting(f, 1)[0]
	for i := range 60 {
		if n := f.collect(time.Duration(i%4) * 500 * time.Microsecond); n != 0 {
			f.Fatalf("%d came back", n)
		}
	}
	f.collect(1) // a nanosecond
	f.must(&driver.Request{Kind: driver.Nop}, 0)
	f.cancel(q)
	f.canceled(q)
	f.d.Wake()
	f.collect(-1)
}

// forEver: the longest timeout there is does not overflow into none.
func forEver(f *fixture) {
	var woken atomic.Bool
	var wg sync.WaitGroup
	const idle = 20 * time.Millisecond // long against a loop that does not wait at all
	wg.Go(func() {
		<-time.After(idle)
		woken.Store(true)
		f.d.Wake()
	})
	waits := 0
	for ; !woken.Load(); waits++ {
		f.collect(math.MaxInt64)
	}
	wg.Wait()
	if waits > 5 {
		f.Errorf("Wait returned %d times before it was woken", waits)
	}
}

// submissionDuringWait: Wait is under way, or about to be, when each request comes.
func submissionDuringWait(f *fixture) {
	defer f.reap()()
	for range 1000 {
		<-f.start(&driver.Request{Kind: driver.Nop})
	}
	r, w := f.pipe()
	for range 200 {
		q := read(r, 4, driver.CurrentOffset)
		back := f.start(q)
		f.put(w, "data")
		if <-back; got(q) != "data" {
			f.Fatalf("%q, %v", got(q), q.Err)
		}
	}
}
