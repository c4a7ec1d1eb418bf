package drivertest

import (
	"math/rand/v2"
	"os"
	"sync"

	"github.com/ringport/ringport/internal/driver"
)

// Law 1: every operation that was accepted completes once. The books of the fixture check it in every test; those here make
// it hard: more than the queues hold, several submitters, cancels at random.
var onceTests = []test{
	{name: "Law1ExactlyOnce", run: exactlyOnce},
	{name: "Law1RequestIsUsedAgain", run: usedAgain},
	{name: "Law1BatchBiggerThanTheQueue", run: biggerBatch, depth: 8},
	{name: "Law1QueueOfOne", run: biggerBatch, depth: 1},
	{name: "Law1QueueOfThree", run: biggerBatch, depth: 3},
	{name: "Law1MoreCompletionsThanTheQueueHolds", run: manyCompletions, depth: 8},
	{name: "Law1SmallBatches", run: smallBatches},
	{name: "Law1MoreThenFlush", run: moreThenFlush},
	{name: "Law1MoreThenWait", run: moreThenWait},
	{name: "Law1Inline", run: inline},
	{name: "Law1InlineBesideWait", run: inlineBesideWait, modes: sharedOnly},
	{name: "Law1ManySubmitters", run: manySubmitters, modes: sharedOnly},
	{name: "Law1WaitersTakeTurns", run: waitersTakeTurns, modes: sharedOnly},
}

// badHandle is one that is never open: above every descriptor limit, below the registered handles.
const badHandle = driver.Handle(1<<30 - 2)

func exactlyOnce(f *fixture) {
	r, w := f.pipe()
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	var all []*driver.Request
	for i := range 200 {
		switch i % 4 {
		case 0:
			all = append(all, &driver.Request{Kind: driver.Nop})
		case 1:
			all = append(all, read(file, 16, 0))
		case 2:
			all = append(all, read(r, 1, driver.CurrentOffset))
		case 3:
			all = append(all, read(badHandle, 1, 0))
		}
		f.start(all[i])
	}
	for range 50 {
		f.put(w, "x")
	}
	f.await(all...)
	for i, q := range all {
		switch {
		case i%4 == 1 && (q.Err != nil || got(q) != "content"), i%4 == 2 && (q.Err != nil || got(q) != "x"):
			f.Errorf("request %d: %q, %v", i, got(q), q.Err)
		case i%4 == 3 && q.Err == nil:
			f.Errorf("request %d: a read of no open handle succeeded", i)
		}
	}
}

func usedAgain(f *fixture) {
	file := f.openFile(f.tempFile("0123456789"), os.O_RDONLY)
	nop, one := &driver.Request{Kind: driver.Nop}, read(file, 1, 0)
	for i := range 2000 {
		f.must(nop, 0)
		one.Off = int64(i % 10)
		f.must(one, 1)
		if want := byte('0' + i%10); one.Buf[0] != want {
			f.Fatalf("round %d: read %q, want %q", i, one.Buf[0], want)
		}
	}
}

func biggerBatch(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	for range 1000 {
		f.start(&driver.Request{Kind: driver.Nop})
		f.start(read(file, 7, 0))
	}
	f.drain()
}

// manyCompletions has 3000 reads wait for the same pipe and end at once: three times what the smallest completion queue of
// the io_uring driver holds. Linux: fact 7.
func manyCompletions(f *fixture) {
	const n = 3000
	r, w := f.pipe()
	var all []*driver.Request
	for i := range n {
		all = append(all, read(r, 1, driver.CurrentOffset))
		f.start(all[i])
	}
	f.flush()
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i)
	}
	f.put(w, string(content))
	f.await(all...)
	var seen [256]int
	for _, q := range all {
		if q.N != 1 || q.Err != nil {
			f.Fatalf("%d, %v", q.N, q.Err)
		}
		seen[q.Buf[0]]++
	}
	for b := range seen {
		if want := (n - b + 255) / 256; seen[b] != want {
			f.Errorf("byte %d was read %d times, and written %d times", b, seen[b], want)
		}
	}
}

func smallBatches(f *fixture) {
	f.batch = make([]*driver.Request, 1)
	for range 300 {
		f.start(&driver.Request{Kind: driver.Nop})
	}
	f.drain()
}

func moreThenFlush(f *fixture) {
	if !f.owned {
		defer f.reap()() // so that nothing but the Flush submits
	}
	for round := range 200 {
		var backs []<-chan struct{}
		for range 1 + round%100 {
			backs = append(backs, f.start(&driver.Request{Kind: driver.Nop, Flags: driver.More}))
		}
		f.flush()
		if f.owned {
			f.drain()
		}
		for _, back := range backs {
			<-back
		}
	}
}

func moreThenWait(f *fixture) {
	for round := range 200 {
		for range 1 + round%100 {
			f.start(&driver.Request{Kind: driver.Nop, Flags: driver.More})
		}
		f.drain()
	}
}

func inline(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	for range 500 {
		nop, cached := &driver.Request{Kind: driver.Nop, Flags: driver.Inline}, read(file, 16, 0)
		cached.Flags = driver.Inline | driver.Regular
		f.start(nop)
		f.start(cached)
		f.await(cached, nop)
		if got(cached) != "content" || cached.Err != nil {
			f.Fatalf("read %q, %v", got(cached), cached.Err)
		}
	}
}

// inlineBesideWait: the submitter and Wait race for the completion.
func inlineBesideWait(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	defer f.reap()()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 1000 {
				r := read(file, 16, 0)
				r.Flags = driver.Inline
				<-f.start(r)
				if got(r) != "content" || r.Err != nil {
					f.Errorf("read %q, %v", got(r), r.Err)
				}
			}
		})
	}
	wg.Wait()
}

func manySubmitters(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	defer f.reap()()
	var wg sync.WaitGroup
	for i := range 4 {
		r, w := f.pipe()
		wg.Go(func() { submitAtRandom(f, rand.New(rand.NewPCG(1, uint64(i))), file, r, w) })
	}
	wg.Wait()
}

// submitAtRandom is one submitter: what it writes to its pipe it reads again, cancelled or not.
func submitAtRandom(f *fixture, random *rand.Rand, file, r, w driver.Handle) {
	for range 300 {
		switch random.IntN(4) {
		case 0:
			<-f.start(&driver.Request{Kind: driver.Nop})
		case 1:
			q := read(file, 16, 0)
			back := f.start(q)
			if random.IntN(2) == 0 {
				f.cancel(q)
			}
			if <-back; got(q) != "content" && q.Err != driver.ErrCanceled {
				f.Errorf("read %q, %v", got(q), q.Err)
			}
		case 2:
			q := read(r, 4, driver.CurrentOffset)
			back := f.start(q)
			if err := put(w, "data"); err != nil {
				f.Error(err)
			}
			if random.IntN(2) == 0 {
				f.cancel(q)
			}
			if <-back; q.Err == driver.ErrCanceled {
				q = read(r, 4, driver.CurrentOffset)
				<-f.start(q)
			}
			if got(q) != "data" {
				f.Errorf("read %q, %v", got(q), q.Err)
			}
		case 3:
			q := read(r, 4, driver.CurrentOffset)
			back := f.start(q)
			f.cancel(q)
			if <-back; q.Err != driver.ErrCanceled {
				f.Errorf("read %q, %v from an empty pipe", got(q), q.Err)
			}
		}
	}
}

// waitersTakeTurns: one goroutine at a time is in Wait, but not always the same.
func waitersTakeTurns(f *fixture) {
	var turn sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				r := &driver.Request{Kind: driver.Nop}
				f.start(r)
				for !f.isBack(r) {
					turn.Lock()
					if !f.isBack(r) {
						if _, err := f.look(-1); err != nil {
							f.Errorf("wait: %v", err)
						}
					}
					turn.Unlock()
				}
			}
		})
	}
	wg.Wait()
}
