//go:build unix

package pool

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func TestWakeIsNeverLost(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		const rounds, wakers = 3000, 3
		var asked, seen [wakers]atomic.Int64
		answered := make([]chan struct{}, wakers)
		var wg sync.WaitGroup
		for i := range wakers {
			answered[i] = make(chan struct{}, 1)
			wg.Go(func() {
				for range rounds {
					asked[i].Add(1)
					t.d.Wake()
					<-answered[i] // a lost wake is a hang
				}
			})
		}
		var batch [1]*driver.Request
		timeouts := []time.Duration{-1, time.Hour, time.Nanosecond, 0, -1}
		for round := 0; ; round++ {
			if n, err := t.d.Wait(batch[:], timeouts[round%len(timeouts)]); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			left := 0
			for i := range wakers {
				if a := asked[i].Load(); seen[i].Load() < a {
					seen[i].Store(a)
					answered[i] <- struct{}{}
				}
				left += rounds - int(seen[i].Load())
			}
			if left == 0 {
				break
			}
		}
		wg.Wait()
	})
}

func TestWakesCoalesceBeforeAWait(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		for range 5 {
			t.d.Wake()
		}
		var batch [1]*driver.Request
		if n, err := t.d.Wait(batch[:], -1); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if t.d.woken {
			t.Fatal("one wake is left")
		}
	})
}

func TestCompletionsThatDoNotFitStay(t *testing.T) {
	inBothModes(t, 2, func(t *rig) {
		file, _ := t.file("x")
		want := map[*driver.Request]bool{}
		for range 5 {
			want[t.start(&driver.Request{Kind: driver.Fsync, FD: file})] = true
		}
		for r := range want {
			t.reaches(r, done)
		}
		var batch [2]*driver.Request
		for _, n := range []int{2, 2, 1} {
			if got, err := t.d.Wait(batch[:], -1); got != n || err != nil {
				t.Fatal(got, err, "want", n)
			}
			for _, r := range batch[:n] {
				if !want[r] {
					t.Fatal("not one of mine, or twice")
				}
				delete(want, r)
			}
		}
		if n, err := t.d.Wait(batch[:], 0); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	})
}

func TestPollableTellsTheTruth(t *testing.T) {
	inBothModes(t, 2, func(t *rig) {
		file, _ := t.file("x")
		t.d.Wake()
		h, ok := t.d.Pollable()
		if again, _ := t.d.Pollable(); !ok || again != h {
			t.Fatal("Pollable changes")
		}
		readable := func() bool { return pollNow(int(h), unix.POLLIN) != 0 }
		expect := func(want bool, when string) {
			t.Helper()
			if readable() != want {
				t.Fatalf("%s: readable is %v", when, !want)
			}
		}
		var batch [1]*driver.Request
		wait := func(want int) {
			t.Helper()
			if n, err := t.d.Wait(batch[:], 0); n != want || err != nil {
				t.Fatal(n, err, "want", want)
			}
		}
		expect(true, "asked for after a Wake")
		wait(0)
		expect(false, "after the Wait")
		for range 3 {
			t.d.Wake()
			expect(true, "after a Wake")
			wait(0)
			expect(false, "after the Wait")
		}
		one := t.start(&driver.Request{Kind: driver.Fsync, FD: file})
		two := t.start(&driver.Request{Kind: driver.Fsync, FD: file})
		t.reaches(one, done)
		t.reaches(two, done)
		t.d.Wake()
		expect(true, "with two completions")
		wait(1)
		expect(true, "with one completion")
		wait(1)
		expect(false, "with none")
	})
}

func TestWaitWithATimeoutReturns(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, out := t.pipe()
		r := t.start(reading(in, 1))
		var batch [1]*driver.Request
		for _, d := range []time.Duration{0, 1, time.Millisecond, 0, time.Microsecond} {
			if n, err := t.d.Wait(batch[:], d); n != 0 || err != nil {
				t.Fatal(n, err)
			}
		}
		t.put(out, "x")
		t.must(r, 1, nil)
	})
}

// A worker whose request was cancelled before it came to run is still on its way when the driver is closed.
func TestCloseWaitsForWorkersOnTheirWay(t *testing.T) {
	processors := runtime.GOMAXPROCS(1) // nothing else runs until this goroutine waits
	t.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	for range 20 {
		t.Run("", func(t *testing.T) {
			rig := newRig(t, driver.Options{}) // counts threads after Close
			file, _ := rig.file("x")
			r := rig.start(&driver.Request{Kind: driver.Fsync, FD: file})
			rig.d.Cancel(r)
			// On a busy machine the scheduler may take this goroutine's turn away and the sync be done.
			if _, err := rig.finish(r); err != nil && err != driver.ErrCanceled {
				t.Error(err)
			}
		})
	}
}
