package drivertest

import (
	"runtime"
	"sync"

	"github.com/ringport/ringport/internal/driver"
)

// The handle that a foreign loop waits on.
var pollableTests = []test{
	{name: "Pollable", run: pollable},
	{name: "PollableWithoutPacket", run: pollableWithoutPacket, modes: ownedOnly},
	{name: "Law5PollableAskedForLate", run: pollableLate, modes: ownedOnly},
	{name: "Law5PollableAfterWake", run: pollableAfterWake, modes: ownedOnly},
}

// pollable: readable exactly while Wait has something to return.
func pollable(f *fixture) {
	h, ok := f.d.Pollable()
	if !ok {
		f.Fatal("every driver has one")
	}
	settle := func() {
		for pollsReadable(h) { // answers to cancels and the like
			f.collect(0)
		}
	}
	settle()
	r, w := f.pipe()
	for i := range 50 {
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		f.flush()
		settle()
		if !f.isBack(q) && i%2 == 0 {
			f.stay(q)
			settle()
		}
		f.put(w, "data")
		for !pollsReadable(h) {
			runtime.Gosched()
		}
		for !f.isBack(q) {
			if f.collect(0) == 0 && !pollsReadable(h) && !f.isBack(q) {
				// The look has started it again; what ends it makes the handle readable again.
				for !pollsReadable(h) {
					runtime.Gosched()
				}
			}
		}
		if got(q) != "data" {
			f.Fatalf("%q, %v", got(q), q.Err)
		}
		settle()
	}
}

// pollableWithoutPacket: what comes back without going through the system, more of it than a Wait takes, is told as well.
func pollableWithoutPacket(f *fixture) {
	h, _ := f.d.Pollable()
	for range 20 {
		var all []*driver.Request
		for range 2*len(f.batch) + 1 {
			q := &driver.Request{Kind: driver.Nop}
			f.start(q)
			all = append(all, q)
		}
		f.flush()
		for _, q := range all {
			for !f.isBack(q) {
				for !pollsReadable(h) {
					runtime.Gosched()
				}
				f.collect(0)
			}
		}
		r, _ := f.pipe()
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		f.cancel(q) // before it was submitted
		f.flush()
		for !f.isBack(q) {
			for !pollsReadable(h) {
				runtime.Gosched()
			}
			f.collect(0)
		}
	}
}

// pollableLate: what is back before anybody asks for the handle is told as well.
func pollableLate(f *fixture) {
	q := &driver.Request{Kind: driver.Nop}
	f.start(q)
	f.flush()
	h, _ := f.d.Pollable()
	for !f.isBack(q) {
		for !pollsReadable(h) {
			runtime.Gosched()
		}
		f.collect(0)
	}
}

// pollableAfterWake: a foreign loop that waits for the handle steps when it is woken.
func pollableAfterWake(f *fixture) {
	h, ok := f.d.Pollable()
	if !ok {
		f.Fatal("every driver has one")
	}
	for range 100 {
		f.collect(0)
		f.flush()
		var wg sync.WaitGroup
		wg.Go(f.d.Wake)
		for !pollsReadable(h) {
			runtime.Gosched()
		}
		wg.Wait()
		f.collect(0)
		for pollsReadable(h) {
			f.collect(0)
		}
	}
}
