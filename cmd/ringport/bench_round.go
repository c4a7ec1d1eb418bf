package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ringport/ringport/internal/clock"
)

// roundSpec is one round: it lasts until it has done so many operations, or if that is zero, for a time.
type roundSpec struct {
	Size       int64 // bytes of the file to use
	Nanos      int64
	Operations int64
}

// roundResult is what a round did.
type roundResult struct {
	Operations int64
	Errors     int64
	FirstError string
	Nanos      int64  // from the first start to the last completion
	CPUNanos   int64  // user and system time of the process in that time
	Threads    int    // the most that the process had
	Latencies  []byte // an encoded HDR histogram of nanoseconds
	Samples    []sample
}

// sample is a point of a round: how many operations were done so many nanoseconds after its start.
type sample struct {
	Nanos      int64
	Operations int64
}

const (
	sampleInterval  = 100 * time.Millisecond
	maxLatencyNanos = int64(time.Minute)
	maxErrors       = 100 // then a round ends: a file that always fails would only heat the processor
)

// round is a round under way, in the engine's process.
type round struct {
	spec     *engineSpec
	size     int64
	quota    int64
	begun    int64 // see clock.Nanos
	sequence atomic.Uint64
	over     atomic.Bool
	started  atomic.Int64 // counted only against a quota
	failed   atomic.Int64
	failure  sync.Once
	first    string

	recorders []recorder
	shards    []latencyShard
}

// latencyShard is a histogram that several recorders share: one for each would be 200 KB times the depth.
type latencyShard struct {
	mu   sync.Mutex
	hist *hdrhistogram.Histogram
}

// recorder notes what one goroutine has done. The hot path has no lock: latencies go to the shard 64 at a time.
type recorder struct {
	done  atomic.Int64 // written by its goroutine alone
	r     *round
	shard *latencyShard
	n     int
	nanos [64]int64
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatencyNanos, 3) }

func newRound(spec *engineSpec, how roundSpec) *round {
	r := &round{spec: spec, size: how.Size, quota: how.Operations, recorders: make([]recorder, spec.Depth),
		shards: make([]latencyShard, min(spec.Depth, runtime.GOMAXPROCS(0)))}
	for i := range r.shards {
		r.shards[i].hist = newHistogram()
	}
	for i := range r.recorders {
		r.recorders[i].r, r.recorders[i].shard = r, &r.shards[i%len(r.shards)]
	}
	return r
}

// more reports whether another operation is to be started.
func (r *round) more() bool {
	return !r.over.Load() && (r.quota == 0 || r.started.Add(1) <= r.quota)
}

// now is the time since the round began, in nanoseconds.
func (r *round) now() int64 { return clock.Nanos() - r.begun }

// add notes an operation that succeeded.
func (c *recorder) add(nanos int64) {
	c.nanos[c.n] = nanos
	if c.n++; c.n == len(c.nanos) {
		c.flush()
	}
	c.done.Store(c.done.Load() + 1)
}

func (c *recorder) flush() {
	c.shard.mu.Lock()
	for _, v := range c.nanos[:c.n] {
		c.shard.hist.RecordValue(min(v, maxLatencyNanos))
	}
	c.shard.mu.Unlock()
	c.n = 0
}

// fail notes an operation that did not.
func (r *round) fail(err error) {
	r.failure.Do(func() { r.first = err.Error() })
	if r.failed.Add(1) >= maxErrors {
		r.over.Store(true)
	}
}

// finished checks what an operation brought, and notes it.
func (r *round) finished(c *recorder, nanos int64, buf []byte, off int64, write bool, n int, err error) {
	switch {
	case n == len(buf) && r.spec.Verify && !write:
		err = checkStamps(buf, off)
	case n == len(buf):
		err = nil // an os.File may add io.EOF to a full read at the end
	case err == nil:
		err = fmt.Errorf("short transfer at byte %d of %s: %d of %d bytes", off, r.spec.Name, n, len(buf))
	}
	if err != nil {
		r.fail(err)
		return
	}
	c.add(nanos)
}

func (r *round) operations() (n int64) {
	for i := range r.recorders {
		n += r.recorders[i].done.Load()
	}
	return n
}

// runRound runs a round of e and measures it. Tick is called with each sample while it runs.
func runRound(e engine, r *round, how roundSpec, tick func(sample)) (*roundResult, error) {
	threads, err := threadCount()
	if err != nil {
		return nil, err
	}
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	if how.Operations == 0 {
		defer time.AfterFunc(time.Duration(how.Nanos), func() { r.over.Store(true) }).Stop()
	}
	s := sampler{r: r, tick: tick, threads: threads}
	r.begun = clock.Nanos()
	end := s.start()
	err = e.run(r)
	elapsed := r.now()
	after, cpuErr := cpuTime()
	samples, threads := end()
	if err := errors.Join(err, cpuErr); err != nil {
		return nil, err
	}
	res := &roundResult{Operations: r.operations(), Errors: r.failed.Load(), FirstError: r.first, Nanos: elapsed,
		CPUNanos: int64(after - cpu), Threads: threads, Samples: samples}
	total := newHistogram()
	for i := range r.recorders {
		r.recorders[i].flush()
	}
	for i := range r.shards {
		total.Merge(r.shards[i].hist)
	}
	res.Latencies, err = total.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	return res, err
}

// sampler looks at a round from outside, ten times a second.
type sampler struct {
	r       *round
	tick    func(sample)
	threads int
	samples []sample
}

// start starts sampling. End takes a last sample, and returns all of them and the most threads that were seen.
func (s *sampler) start() (end func() ([]sample, int)) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(sampleInterval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				s.take()
				s.tick(s.samples[len(s.samples)-1])
			case <-quit:
				s.take()
				return
			}
		}
	}()
	return func() ([]sample, int) {
		close(quit)
		<-done
		return s.samples, s.threads
	}
}

func (s *sampler) take() {
	s.samples = append(s.samples, sample{Nanos: s.r.now(), Operations: s.r.operations()})
	if n, err := threadCount(); err == nil {
		s.threads = max(s.threads, n)
	}
}
