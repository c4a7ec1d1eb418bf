package drivertest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/ringport/ringport/internal/driver"
)

// Law 3: a cancel is a request. What was asked comes back, with what it did if it did something, with ErrCanceled otherwise, and
// then it took nothing. A cancel is never lost, and hits nobody else. Linux: facts 2, 4, 5, 18 and 21.
var cancelTests = []test{
	{name: "Law3CancelTakesNothing", run: cancelTakesNothing},
	{name: "Law3CancelDeliversData", run: cancelDeliversData},
	{name: "Law3CancelOfWhatEndsByItself", run: cancelFileRead},
	{name: "Law3CancelDuringSubmit", run: cancelDuringSubmit, modes: sharedOnly},
	{name: "Law3CancelBeforeSubmit", run: cancelBefore},
	{name: "Law3CancelOfNothingInFlight", run: cancelNothing},
	{name: "Law3CancelAfterCompletionDoesNothing", run: cancelAfter},
	{name: "Law3CancelTwice", run: cancelTwice},
	{name: "Law3CancelOneOfMany", run: cancelOne},
	{name: "Law3CancelAll", run: cancelAll},
	{name: "Law3CancelAllDoesNotLast", run: cancelAllOnce},
	{name: "Law3CancelOnFullQueue", run: cancelFull, depth: 8},
	{name: "Law3CancelOnQueueOfOne", run: cancelFull, depth: 1},
	{name: "Law3CancelBehindUnsubmitted", run: cancelBehind, depth: 8},
	{name: "Law3CancelAllOnFullQueue", run: cancelAllFull, depth: 8},
	{name: "Law3CancelOfUnsubmitted", run: cancelUnsubmitted},
	{name: "Law3CancelWaitingWrite", run: cancelWrite},
}

func cancelTakesNothing(f *fixture) {
	r, w := f.pipe()
	for i := range 100 {
		q := read(r, 16, driver.CurrentOffset)
		f.start(q)
		if i%2 == 0 {
			f.stay(q)
		}
		f.cancel(q)
		f.canceled(q)
	}
	f.put(w, "all of it")
	if s := f.rest(r, w); s != "all of it" {
		f.Errorf("left in the pipe: %q", s)
	}
}

// cancelDeliversData: the data races with the cancel. It is delivered, or it is still there.
func cancelDeliversData(f *fixture) {
	r, w := f.pipe()
	delivered := 0
	for i := range 300 {
		content := fmt.Sprintf("%04d", i)
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		f.flush()
		var wg sync.WaitGroup
		wg.Go(func() {
			for range i % 5 {
				runtime.Gosched()
			}
			if err := put(w, content); err != nil {
				f.Error(err)
			}
		})
		for range i % 7 {
			runtime.Gosched()
		}
		f.cancel(q)
		f.await(q)
		wg.Wait()
		if q.Err == driver.ErrCanceled {
			q = read(r, 8, driver.CurrentOffset)
			f.must(q, 4)
		} else {
			delivered++
		}
		if q.Err != nil || got(q) != content {
			f.Fatalf("round %d: %q, %v; want %q", i, got(q), q.Err, content)
		}
	}
	f.Logf("%d of 300 were faster than their cancel", delivered)
}

// cancelFileRead: such a read is seldom to be stopped. It then delivers what it has read. The offset stays where it is.
func cancelFileRead(f *fixture) {
	const bytes = 1 << 18
	file := f.openFile(f.tempFile(strings.Repeat("x", bytes)), os.O_RDONLY)
	for i := range 100 {
		q := read(file, bytes, 0)
		if i%2 == 0 {
			q.Flags = driver.Regular
		}
		f.start(q)
		if i%3 == 0 {
			f.flush()
		}
		f.cancel(q)
		f.await(q)
		if q.Err != driver.ErrCanceled && (q.Err != nil || got(q) != strings.Repeat("x", bytes)) {
			f.Fatalf("round %d: %d, %v", i, q.N, q.Err)
		}
	}
}

// cancelDuringSubmit: the cancel comes before, during or after Submit. Whenever it does, it is asked for once.
func cancelDuringSubmit(f *fixture) {
	r, w := f.pipe()
	for i := range 2000 {
		q := read(r, 8, driver.CurrentOffset)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range i % 4 {
				runtime.Gosched()
			}
			f.cancel(q)
		})
		f.start(q)
		f.canceled(q)
		wg.Wait()
	}
	if s := f.rest(r, w); s != "" {
		f.Errorf("left in the pipe: %q", s)
	}
}

// cancelBefore: a cancel that comes first finds nothing in flight, and its flag is left for Submit.
func cancelBefore(f *fixture) {
	r, w := f.pipe()
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	for range 20 {
		q := read(r, 8, driver.CurrentOffset)
		f.cancel(q)
		f.start(q)
		f.canceled(q)

		q = read(file, 8, 0)
		f.cancel(q)
		f.start(q)
		if f.await(q); q.Err != driver.ErrCanceled && (q.Err != nil || got(q) != "content") {
			f.Fatalf("%q, %v", got(q), q.Err)
		}

		first, second := read(r, 8, driver.CurrentOffset), read(r, 8, driver.CurrentOffset)
		f.start(first)
		f.cancel(second) // goes behind one that waits for the same
		f.start(second)
		f.canceled(second)
		f.stay(first)
		f.cancel(first)
		f.canceled(first)
	}
	if s := f.rest(r, w); s != "" {
		f.Errorf("left in the pipe: %q", s)
	}
}

// cancelNothing: what Cancel does not find it does not keep in mind.
func cancelNothing(f *fixture) {
	r, w := f.pipe()
	q := read(r, 8, driver.CurrentOffset)
	f.cancel(q)
	again(q) // the manager begins another life of the operation
	f.start(q)
	f.stay(q)
	f.put(w, "data")
	if f.await(q); got(q) != "data" {
		f.Errorf("%q, %v", got(q), q.Err)
	}
}

// cancelAfter: the driver's place for a request that is back may be another's already.
func cancelAfter(f *fixture) {
	r, w := f.pipe()
	for range 100 {
		old, next := read(r, 8, driver.CurrentOffset), read(r, 8, driver.CurrentOffset)
		f.put(w, "old")
		f.start(old)
		f.await(old)
		f.start(next)
		f.cancel(old)
		f.stay(next)
		f.cancel(old)
		f.put(w, "next")
		if f.await(next); got(old) != "old" || got(next) != "next" {
			f.Fatalf("%q, %v, then %q, %v", got(old), old.Err, got(next), next.Err)
		}
	}
}

func cancelTwice(f *fixture) {
	r, _ := f.pipe()
	for range 100 {
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		f.cancel(q)
		f.cancel(q)
		f.flush()
		f.cancel(q)
		f.canceled(q)
		f.cancel(q)
	}
}

func cancelOne(f *fixture) {
	r, w := f.pipe()
	var all []*driver.Request
	for i := range 20 {
		all = append(all, read(r, 1, driver.CurrentOffset))
		f.start(all[i])
	}
	f.stay(all...)
	f.cancel(all[7])
	f.canceled(all[7])
	others := append(append([]*driver.Request{}, all[:7]...), all[8:]...)
	f.stay(others...)
	f.put(w, strings.Repeat("x", len(others)))
	f.await(others...)
	for _, q := range others {
		if got(q) != "x" || q.Err != nil {
			f.Errorf("%q, %v", got(q), q.Err)
		}
	}
}

// waiting starts n reads, each of a pipe that stays empty.
func waiting(f *fixture, n int) []*driver.Request {
	var all []*driver.Request
	for range n {
		r, _ := f.pipe()
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		all = append(all, q)
	}
	return all
}

func cancelAll(f *fixture) {
	all := waiting(f, 50)
	f.stay(all...)
	f.d.CancelAll()
	f.canceled(all...)
	f.d.CancelAll()
}

func cancelAllOnce(f *fixture) {
	f.d.CancelAll()
	all := waiting(f, 1)
	f.d.CancelAll()
	f.canceled(all...)
	r, w := f.pipe()
	q := read(r, 8, driver.CurrentOffset)
	f.start(q)
	f.stay(q)
	f.put(w, "data")
	if f.await(q); got(q) != "data" {
		f.Errorf("%q, %v", got(q), q.Err)
	}
}

func cancelFull(f *fixture) {
	all := waiting(f, 100)
	for _, q := range all {
		f.cancel(q)
	}
	f.canceled(all...)
}

// cancelBehind fills the queue with what is not submitted yet.
func cancelBehind(f *fixture) {
	q := waiting(f, 1)[0]
	f.stay(q)
	for range 20 {
		for range 8 {
			f.start(&driver.Request{Kind: driver.Nop, Flags: driver.More})
		}
		f.cancel(q)
		f.canceled(q)
		f.drain()
		q = waiting(f, 1)[0]
		f.flush()
	}
	f.cancel(q)
	f.canceled(q)
}

func cancelAllFull(f *fixture) {
	all := waiting(f, 100)
	f.d.CancelAll()
	f.canceled(all...)
}

func cancelUnsubmitted(f *fixture) {
	r, w := f.pipe()
	for range 50 {
		q := read(r, 8, driver.CurrentOffset)
		q.Flags = driver.More
		f.start(q)
		f.cancel(q)
		f.canceled(q)
	}
	if s := f.rest(r, w); s != "" {
		f.Errorf("left in the pipe: %q", s)
	}
}

// cancelWrite: the pipe is full, so that the write waits. What it wrote before the cancel counts.
func cancelWrite(f *fixture) {
	r, w := f.pipe()
	block, written := strings.Repeat("x", 1<<16), 0
	for range 64 { // far more than a pipe holds
		q := write(w, block, driver.CurrentOffset)
		f.start(q)
		f.stay()
		f.cancel(q)
		if f.await(q); q.Err != nil && q.Err != driver.ErrCanceled {
			f.Fatalf("write: %d, %v", q.N, q.Err)
		}
		written += q.N
	}
	if s := f.rest(r, w); len(s) != written || strings.Trim(s, "x") != "" {
		f.Errorf("%d bytes left in the pipe, %d written", len(s), written)
	}
}
