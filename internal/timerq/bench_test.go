package timerq

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The work of these benchmarks: a change among a million pending timeouts of up to a minute. Each iteration picks a timeout
// at random, so that it is in no cache.
//
// Time goes on by editNanos an edit, and what is due is popped every thousand edits, as a manager's loop would do it. The
// runtime's timers are measured under the same load. Their deadlines are real and a second later, so that none is due.

const (
	million    = 1 << 20
	spanNanos  = int64(time.Minute)
	editNanos  = 250
	popEvery   = 1000
	spareNanos = int64(time.Second)
)

// crowd is a queue with a million timers, of the size that the manager's have.
type crowd struct {
	q      Queue[[2]*int]
	timers []*Timer[[2]*int]
	rng    *rand.Rand
	now    int64
	edits  int
}

func newCrowd() *crowd {
	c := &crowd{timers: make([]*Timer[[2]*int], million), rng: rand.New(rand.NewPCG(1, 2))}
	for i := range c.timers {
		c.timers[i] = new(Timer[[2]*int])
		c.set(c.timers[i])
	}
	for range million { // no timer is where it was born
		c.set(c.timers[c.rng.IntN(million)])
	}
	return c
}

func (c *crowd) set(t *Timer[[2]*int]) {
	c.q.Set(t, c.now+spareNanos+c.rng.Int64N(spanNanos))
	c.now += editNanos
	if c.edits++; c.edits%popEvery != 0 {
		return
	}
	for t := c.q.PopExpired(c.now); t != nil; t = c.q.PopExpired(c.now) {
		c.set(t)
	}
	c.q.Earliest()
}

// BenchmarkResetMillion moves a timer to a random time.
func BenchmarkResetMillion(b *testing.B) {
	c := newCrowd()
	b.ReportAllocs()
	for b.Loop() {
		c.set(c.timers[c.rng.IntN(million)])
	}
}

// BenchmarkStopSetMillion stops a timer and sets it again.
func BenchmarkStopSetMillion(b *testing.B) {
	c := newCrowd()
	b.ReportAllocs()
	for b.Loop() {
		t := c.timers[c.rng.IntN(million)]
		c.q.Stop(t)
		c.set(t)
	}
}

// BenchmarkStopNewMillion stops a timer and sets a new one.
func BenchmarkStopNewMillion(b *testing.B) {
	c := newCrowd()
	b.ReportAllocs()
	for b.Loop() {
		t := &c.timers[c.rng.IntN(million)]
		c.q.Stop(*t)
		*t = new(Timer[[2]*int])
		c.set(*t)
	}
}

// BenchmarkTouchMillion only writes to a random timer. This is what memory costs, the least that an edit can take.
func BenchmarkTouchMillion(b *testing.B) {
	c := newCrowd()
	for b.Loop() {
		if t := c.timers[c.rng.IntN(million)]; t.pending {
			t.deadline += c.rng.Int64N(spanNanos)
		}
	}
}

// BenchmarkPopMillion fills a queue and pops everything, a millisecond of time after the other.
func BenchmarkPopMillion(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	timers := make([]Timer[[2]*int], million)
	b.ReportAllocs()
	for b.Loop() {
		var q Queue[[2]*int]
		for i := range timers {
			q.Set(&timers[rng.IntN(million)], rng.Int64N(spanNanos))
			q.Set(&timers[i], rng.Int64N(spanNanos))
		}
		for now := int64(0); q.Len() > 0; now += int64(time.Millisecond) {
			for q.PopExpired(now) != nil {
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/timer")
}

func BenchmarkTimeAfterFuncResetMillion(b *testing.B) {
	timers, rng := runtimeTimers(b)
	b.ReportAllocs()
	for b.Loop() {
		timers[rng.IntN(million)].Reset(randomDuration(rng))
	}
}

func BenchmarkTimeAfterFuncStopNewMillion(b *testing.B) {
	timers, rng := runtimeTimers(b)
	b.ReportAllocs()
	for b.Loop() {
		t := &timers[rng.IntN(million)]
		(*t).Stop()
		*t = time.AfterFunc(randomDuration(rng), func() {})
	}
}

func runtimeTimers(b *testing.B) ([]*time.Timer, *rand.Rand) {
	rng := rand.New(rand.NewPCG(1, 2))
	timers := make([]*time.Timer, million)
	for i := range timers {
		timers[i] = time.AfterFunc(randomDuration(rng), func() {})
	}
	b.Cleanup(func() {
		for _, t := range timers {
			t.Stop()
		}
	})
	for range million {
		timers[rng.IntN(million)].Reset(randomDuration(rng))
	}
	return timers, rng
}

func randomDuration(rng *rand.Rand) time.Duration {
	return time.Duration(spareNanos + rng.Int64N(spanNanos))
}
