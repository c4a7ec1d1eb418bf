package drivertest

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ringport/ringport/internal/driver"
)

// Law 2: from Submit to completion the request and its buffers belong to the driver, which keeps them reachable; before and
// after it does not touch them. Linux: facts 1 and 13.
var ownershipTests = []test{
	{name: "Law2BuffersLiveUntilCompletion", run: buffersLive},
	{name: "Law2BuffersOfACanceledRequestAreLeftAlone", run: leftAlone},
	{name: "Law2BytesAroundTheBufferAreLeftAlone", run: guardBytes},
	{name: "Law2UnderTheCollector", run: underTheCollector},
}

// fate is what the collector has done to something.
type fate struct{ collected atomic.Bool }

func (f *fate) of(b []byte) {
	runtime.AddCleanup(&b[0], func(f *fate) { f.collected.Store(true) }, f)
}

// buffersLive submits requests that nobody but the driver refers to.
func buffersLive(f *fixture) {
	r, w := f.pipe()
	for _, submit := range []func(f *fixture, h driver.Handle) *fate{forgetRead, forgetReadv} {
		end := submit(f, r)
		f.flush()
		for range 5 {
			churn()
		}
		if end.collected.Load() {
			f.Fatal("the buffer was collected while its request was in flight")
		}
		f.put(w, strings.Repeat("data", 1024))
		arrived(f)
		for i := 0; !end.collected.Load(); i++ {
			if i > 1000 {
				f.Fatal("the driver still refers to a request that it gave back")
			}
			churn()
		}
	}
}

//go:noinline
func forgetRead(f *fixture, h driver.Handle) *fate {
	r, end := read(h, 4096, driver.CurrentOffset), new(fate)
	end.of(r.Buf)
	if f.d.Submit(r) {
		f.Fatalf("a read of an empty pipe was done at once: %d, %v", r.N, r.Err)
	}
	return end
}

//go:noinline
func forgetReadv(f *fixture, h driver.Handle) *fate {
	end := new(fate)
	r := &driver.Request{Kind: driver.Readv, FD: h, Off: driver.CurrentOffset, Ext: &driver.Ext{}}
	for range 4 {
		b := make([]byte, 1024)
		end.of(b)
		r.Ext.Vec = append(r.Ext.Vec, b)
	}
	if f.d.Submit(r) {
		f.Fatalf("a read of an empty pipe was done at once: %d, %v", r.N, r.Err)
	}
	return end
}

// arrived waits for a request that the books don't know, and checks what it read.
//
//go:noinline
func arrived(f *fixture) {
	batch := make([]*driver.Request, 1)
	for {
		n, err := f.d.Wait(batch, -1)
		if err != nil {
			f.Fatal(err)
		}
		if n == 1 {
			break
		}
	}
	r := batch[0]
	content := r.Buf
	if r.Kind == driver.Readv {
		content = bytes.Join(r.Ext.Vec, nil)
	}
	if r.N != 4096 || r.Err != nil || string(content) != strings.Repeat("data", 1024) {
		f.Fatalf("%v: %d, %v", r.Kind, r.N, r.Err)
	}
}

var rubbish [][]byte

// churn collects, and has the memory that became free used by others.
func churn() {
	runtime.GC()
	rubbish = rubbish[:0]
	for range 64 {
		rubbish = append(rubbish, bytes.Repeat([]byte{0xdb}, 4096), bytes.Repeat([]byte{0xdb}, 1024))
	}
	rubbish = nil
}

func leftAlone(f *fixture) {
	r, w := f.pipe()
	late := read(r, 64, driver.CurrentOffset)
	f.start(late)
	f.stay(late)
	f.cancel(late)
	f.canceled(late)
	guard := bytes.Repeat([]byte{0xa5}, 64)
	copy(late.Buf, guard)
	f.put(w, "what comes after the cancel")
	f.stay()
	if !bytes.Equal(late.Buf, guard) {
		f.Errorf("the buffer of a request that is back was written to: %q", late.Buf)
	}
	if s := f.rest(r, w); s != "what comes after the cancel" {
		f.Errorf("left in the pipe: %q", s)
	}
}

func guardBytes(f *fixture) {
	const before, length = 24, 40
	path := f.tempFile(strings.Repeat("x", 200))
	file := f.openFile(path, os.O_RDWR)
	for _, off := range []int64{0, 7, 190, 200, 1000} {
		whole := bytes.Repeat([]byte{0xa5}, before+length+before)
		r := &driver.Request{Kind: driver.Read, FD: file, Off: off, Buf: whole[before : before+length]}
		want := int(max(0, min(length, 200-off)))
		f.must(r, want)
		for i, b := range whole {
			inside := i >= before && i < before+want
			if inside && b != 'x' || !inside && b != 0xa5 {
				f.Fatalf("offset %d: byte %d is %#x", off, i, b)
			}
		}
	}
	whole := []byte("before|content|after")
	f.must(&driver.Request{Kind: driver.Write, FD: file, Off: 0, Buf: whole[7:14:14]}, 7)
	if s := f.content(path); !strings.HasPrefix(s, "contentxxx") || string(whole) != "before|content|after" {
		f.Errorf("written %q from %q", s, whole)
	}
}

// underTheCollector: short-lived requests of all kinds of buffers while the collector runs all the time.
func underTheCollector(f *fixture) {
	content := strings.Repeat("0123456789abcdef", 256)
	file := f.openFile(f.tempFile(content), os.O_RDONLY)
	var end atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !end.Load() {
			churn()
		}
	})
	defer wg.Wait()
	defer end.Store(true)
	for range 60 {
		var all []*driver.Request
		for i := range 16 {
			r := read(file, 256, int64(i*256))
			if i%2 == 1 {
				r = &driver.Request{Kind: driver.Readv, FD: file, Off: int64(i * 256),
					Ext: &driver.Ext{Vec: [][]byte{make([]byte, 100), make([]byte, 56), make([]byte, 100)}}}
			}
			f.start(r)
			all = append(all, r)
		}
		f.await(all...)
		for i, r := range all {
			b := r.Buf
			if r.Ext != nil {
				b = bytes.Join(r.Ext.Vec, nil)
			}
			if r.N != 256 || r.Err != nil || string(b) != content[i*256:i*256+256] {
				f.Fatalf("%v at %d: %d, %v", r.Kind, r.Off, r.N, r.Err)
			}
		}
	}
}
