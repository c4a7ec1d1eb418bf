package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// Random blocks are in bounds and all come; sequential ones come in order, once round the file; reads and writes come as asked.
func TestPicker(t *testing.T) {
	const blocks = 37
	r := &round{spec: &engineSpec{Block: 4096, ReadPercent: 100}, size: blocks*4096 + 100}
	p := r.picker()
	seen := map[int64]bool{}
	for range 5000 {
		block, write := p.next()
		if block < 0 || block >= blocks || write {
			t.Fatalf("block %d, write %v", block, write)
		}
		seen[block] = true
	}
	if len(seen) != blocks {
		t.Errorf("%d of %d blocks were picked", len(seen), blocks)
	}
	r.spec.Sequential, r.spec.ReadPercent = true, 0
	p, q := r.picker(), r.picker()
	for i := range int64(3 * blocks) {
		from := &p
		if i%3 == 0 {
			from = &q // they share one sequence
		}
		if block, write := from.next(); block != i%blocks || !write {
			t.Fatalf("operation %d: block %d, write %v", i, block, write)
		}
	}
	r.spec.ReadPercent = 70
	p = r.picker()
	writes := 0
	for range 10000 {
		if _, write := p.next(); write {
			writes++
		}
	}
	if writes < 2700 || writes > 3300 { // six standard deviations
		t.Errorf("%d writes in 10000 operations, of which 70 %% should be reads", writes)
	}
}

func TestStamps(t *testing.T) {
	b := make([]byte, 8*sectorBytes)
	fillRandom(b, rand.NewPCG(1, 2))
	if checkStamps(b, 0) == nil {
		t.Error("random bytes pass for stamped ones")
	}
	stamp(b, 1<<20)
	if err := checkStamps(b, 1<<20); err != nil {
		t.Error(err)
	}
	if checkStamps(b, 0) == nil {
		t.Error("another place's content passes")
	}
	b[5*sectorBytes]++
	if err := checkStamps(b, 1<<20); err == nil || !strings.Contains(err.Error(), "1051136") {
		t.Errorf("a changed byte: %v", err)
	}
	if checkStamps(make([]byte, sectorBytes), 0) == nil {
		t.Error("zeros pass")
	}
}

// fakeEngine does what the test says.
type fakeEngine struct{ work func(r *round) error }

func (e *fakeEngine) run(r *round) error { return e.work(r) }
func (e *fakeEngine) about() engineInfo  { return engineInfo{} }
func (e *fakeEngine) close() error       { return nil }

// A round counts every operation and every latency once, from all goroutines.
func TestRoundCounts(t *testing.T) {
	how := roundSpec{Size: 4096, Operations: 1001}
	spec := &engineSpec{Block: 4096, Depth: 5, ReadPercent: 100}
	r := newRound(spec, how)
	buf := make([]byte, 8)
	e := &fakeEngine{func(r *round) error {
		for began := time.Now(); time.Since(began) == 0; { // a round takes time, even by a clock that ticks every 16 ms
		}
		var wg sync.WaitGroup
		for i := range r.recorders {
			wg.Go(func() {
				for r.more() {
					r.finished(&r.recorders[i], 1500, buf, 0, false, 8, io.EOF) // EOF with all of it is no failure
				}
			})
		}
		wg.Wait()
		return nil
	}}
	res, err := runRound(e, r, how, func(sample) {})
	if err != nil {
		t.Fatal(err)
	}
	if res.Operations != 1001 || res.Errors != 0 || res.Nanos <= 0 || res.Threads < 1 || len(res.Samples) == 0 ||
		res.Samples[len(res.Samples)-1].Operations != 1001 {
		t.Errorf("%+v", res)
	}
	hist := r.shards[0].hist
	for i := range r.shards[1:] {
		hist.Merge(r.shards[i+1].hist)
	}
	if hist.TotalCount() != 1001 || hist.Min() != 1500 {
		t.Errorf("%d latencies, from %d", hist.TotalCount(), hist.Min())
	}
}

// A round by time ends by itself, one whose operations fail ends soon, and what an engine cannot go on after is an error.
func TestRoundEnds(t *testing.T) {
	spec := &engineSpec{Name: "file", Block: 4096, Depth: 1}
	how := roundSpec{Size: 4096, Nanos: int64(10 * time.Millisecond)}
	r := newRound(spec, how)
	res, err := runRound(&fakeEngine{func(r *round) error {
		for r.more() {
			runtime.Gosched() // under Wine nothing preempts this
		}
		return nil
	}}, r, how, func(sample) {})
	if err != nil || res.Nanos <= 0 {
		t.Errorf("%+v, %v", res, err)
	}
	forever := roundSpec{Size: 4096, Nanos: int64(time.Hour)}
	r = newRound(spec, forever)
	res, err = runRound(&fakeEngine{func(r *round) error {
		for r.more() {
			r.finished(&r.recorders[0], 1, make([]byte, 8), 4096, false, 3, nil)
		}
		return nil
	}}, r, forever, func(sample) {})
	if err != nil || res.Errors != maxErrors || res.Operations != 0 || res.FirstError != "short transfer at byte 4096 of file: 3 of 8 bytes" {
		t.Errorf("%+v, %v", res, err)
	}
	broken := errors.New("broken")
	if _, err := runRound(&fakeEngine{func(*round) error { return broken }}, newRound(spec, how), how, func(sample) {}); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}

// Latencies beyond what the histogram holds count as its highest.
func TestLongLatency(t *testing.T) {
	r := newRound(&engineSpec{Depth: 1}, roundSpec{})
	r.recorders[0].add(10 * maxLatencyNanos)
	r.recorders[0].flush()
	if h := r.shards[0].hist; h.TotalCount() != 1 || h.Max() < maxLatencyNanos {
		t.Errorf("%d latencies, up to %d", h.TotalCount(), h.Max())
	}
}

func TestCPUTime(t *testing.T) {
	before, err := cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for deadline := time.Now().Add(patience.Limit); ; sum++ {
		if now, err := cpuTime(); err != nil || now > before {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no processor time in %v of work", patience.Limit)
		}
	}
}

// What is not a terminal gets lines, each once, and no control characters.
func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b)
	p.stage("begin", 10)
	p.at(5, "half")
	p.line("done")
	p.end()
	if b.String() != "begin\ndone\n" {
		t.Errorf("%q", b.String())
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) {
		t.Error("a file passes for a terminal")
	}
}
