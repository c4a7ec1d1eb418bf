package drivertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

// fixture is a driver under test, and the books that law 1 is checked by. In shared mode its methods may be called from any
// goroutine, Wait aside, as the driver's; in owned mode all calls come from the test's goroutine.
type fixture struct {
	*testing.T
	d     driver.Driver
	open  Opener
	owned bool

	mu     sync.Mutex
	flight map[*driver.Request]chan struct{} // closed when the request is back

	batch   []*driver.Request
	guard   *time.Timer            // ends a test that hangs
	handles map[driver.Handle]bool // opened by the test, closed at its end
}

// patience is how long a test may go without a Wait that returns before it counts as hung: a test that is only slow, on a machine that has much
// else to do, is not.
const patience = time.Minute

func newFixture(t *testing.T, open Opener, o driver.Options) *fixture {
	f := &fixture{T: t, open: open, owned: o.Owned, flight: map[*driver.Request]chan struct{}{},
		batch: make([]*driver.Request, 32), handles: map[driver.Handle]bool{}}
	check := f.leaks()
	t.Cleanup(func() {
		if !t.Failed() {
			check()
		}
	})
	d, err := open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	f.d = d
	f.guard = time.AfterFunc(patience, func() {
		f.mu.Lock()
		debug.SetTraceback("all")
		panic(fmt.Sprintf("%s hangs with %d requests in flight", t.Name(), len(f.flight)))
	})
	t.Cleanup(func() {
		f.finish()
		f.guard.Stop()
		for h := range f.handles {
			f.closeHandle(h)
		}
	})
	return f
}

// finish checks that every request came back, and nothing else did, and closes the driver.
func (f *fixture) finish() {
	if f.d == nil {
		return
	}
	if f.Failed() {
		// The books are wrong already: what is in flight may never come back, and Close may not be called before. Its memory stays.
		abandoned = append(abandoned, f.d)
		return
	}
	f.d.Wake() // ends the look at once, and shows that a wake is no completion
	f.collect(0)
	if n := f.inFlight(); n != 0 {
		f.Fatalf("the test left %d requests in flight", n)
	}
	f.close()
}

// abandoned are the drivers of failed tests, which the system may still write to the buffers of.
var abandoned []driver.Driver

// close closes the driver before the end of the test.
func (f *fixture) close() {
	f.Helper()
	d := f.d
	f.d = nil
	if err := d.Close(); err != nil {
		f.Errorf("close: %v", err)
	}
}

// leaks notes the goroutines and descriptors there are, and returns the check that there are no more.
func (f *fixture) leaks() (check func()) {
	goroutines, handles := runtime.NumGoroutine(), openHandles()
	return func() {
		// A goroutine that was joined has said so, and has a few instructions left.
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				f.Errorf("%d goroutines before, %d after:\n%s", goroutines, runtime.NumGoroutine(),
					stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
		for h, what := range openHandles() {
			if handles[h] != what {
				f.Errorf("descriptor %d (%s) was left open", h, what)
			}
		}
	}
}

// start submits r and enters it into the books. The channel is closed when it is back.
func (f *fixture) start(r *driver.Request) (back <-chan struct{}) {
	back = f.enter(r)
	if f.d.Submit(r) {
		f.returned(r)
	}
	return back
}

func (f *fixture) enter(r *driver.Request) <-chan struct{} {
	back := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flight[r] != nil {
		panic("the test submits a request that is in flight")
	}
	f.flight[r] = back
	return back
}

// returned takes r out of the books, and checks what the contract says of a request that is back.
func (f *fixture) returned(r *driver.Request) {
	f.Helper()
	f.mu.Lock()
	back := f.flight[r]
	delete(f.flight, r)
	f.mu.Unlock()
	if back == nil {
		f.Errorf("%v came back without being in flight: twice, or never submitted", r.Kind)
		return
	}
	if r.State != (driver.Private{}) {
		f.Errorf("%v came back with state %+v", r.Kind, r.State)
	}
	_, system := r.Err.(syscall.Errno)
	switch {
	case r.Err == nil && r.N < 0:
		f.Errorf("%v came back with N = %d and no error", r.Kind, r.N)
	case r.Err == driver.ErrCanceled && r.N != 0 && r.Flags&driver.ZeroCopy == 0:
		f.Errorf("%v was cancelled before it did anything, and did %d", r.Kind, r.N)
	case r.Err != nil && r.Err != driver.ErrCanceled && !errors.Is(r.Err, driver.ErrUnsupported) && !system:
		f.Errorf("%v came back with an error of type %T: %v", r.Kind, r.Err, r.Err)
	case r.Kind.Transfers() && r.N > r.Wanted():
		f.Errorf("%v moved %d of %d bytes", r.Kind, r.N, r.Wanted())
	}
	close(back)
}

// collect is one Wait. It returns how many requests came back.
func (f *fixture) collect(timeout time.Duration) int {
	f.Helper()
	n, err := f.look(timeout)
	if err != nil {
		f.Fatalf("wait: %v", err)
	}
	return n
}

// look is collect for goroutines that may not end the test.
func (f *fixture) look(timeout time.Duration) (int, error) {
	n, err := f.d.Wait(f.batch, timeout)
	if f.guard != nil && f.guard.Stop() {
		f.guard.Reset(patience)
	}
	if n < 0 || n > len(f.batch) {
		return 0, fmt.Errorf("%d of %d came back", n, len(f.batch))
	}
	for _, r := range f.batch[:n] {
		f.returned(r)
	}
	clear(f.batch)
	return n, err
}

func (f *fixture) inFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.flight)
}

func (f *fixture) isBack(r *driver.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flight[r] == nil
}

// await waits until all of rs are back.
func (f *fixture) await(rs ...*driver.Request) {
	f.Helper()
	for _, r := range rs {
		for !f.isBack(r) {
			f.collect(-1)
		}
	}
}

// drain waits until everything is back.
func (f *fixture) drain() {
	f.Helper()
	for f.inFlight() > 0 {
		f.collect(-1)
	}
}

// do carries r out.
func (f *fixture) do(r *driver.Request) (n int, err error) {
	f.Helper()
	again(r)
	f.start(r)
	f.await(r)
	return r.N, r.Err
}

// must carries r out and expects n of it.
func (f *fixture) must(r *driver.Request, n int) {
	f.Helper()
	if got, err := f.do(r); err != nil || got != n {
		f.Fatalf("%v: %d, %v; want %d", r.Kind, got, err, n)
	}
}

// fails carries r out and expects it to fail with want.
func (f *fixture) fails(r *driver.Request, want error) {
	f.Helper()
	if n, err := f.do(r); !errors.Is(err, want) || n != 0 {
		f.Errorf("%v: %d, %v; want %v", r.Kind, n, err, want)
	}
}

// flush submits what is queued.
func (f *fixture) flush() {
	f.Helper()
	if err := f.d.Flush(); err != nil {
		f.Fatalf("flush: %v", err)
	}
}

// stay gives the driver every occasion to bring rs back, and expects that it does not: they wait for something.
func (f *fixture) stay(rs ...*driver.Request) {
	f.Helper()
	for range 3 {
		f.must(&driver.Request{Kind: driver.Nop}, 0)
	}
	for _, r := range rs {
		if f.isBack(r) {
			f.Fatalf("%v came back with %d, %v, and should be waiting", r.Kind, r.N, r.Err)
		}
	}
}

// cancel asks for the end of r as the manager does: first the flag, for a Submit that is under way, then the call.
func (f *fixture) cancel(r *driver.Request) {
	r.Asked.Store(true)
	f.d.Cancel(r)
}

// again makes a request that came back ready for another Submit.
func again(r *driver.Request) {
	r.Reset()
	r.Asked.Store(false)
}

// canceled waits for rs and expects that each was cancelled.
func (f *fixture) canceled(rs ...*driver.Request) {
	f.Helper()
	f.await(rs...)
	for _, r := range rs {
		if r.Err != driver.ErrCanceled {
			f.Errorf("%v: %d, %v; want %v", r.Kind, r.N, r.Err, driver.ErrCanceled)
		}
	}
}

// reap waits in a goroutine of its own until stop is called (shared mode).
func (f *fixture) reap() (stop func()) {
	var end, ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				if _, err := f.look(-1); err != nil {
					f.Errorf("wait: %v", err)
					return
				}
			}
		}
	}()
	return func() {
		close(end)
		f.d.Wake()
		<-ended
	}
}

// tempFile makes a file with the given content, and returns its path.
func (f *fixture) tempFile(content string) string {
	f.Helper()
	path := filepath.Join(f.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.Fatal(err)
	}
	return path
}

// content is what the file at path holds.
func (f *fixture) content(path string) string {
	f.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return string(b)
}

// keep makes h the fixture's to close, and ready for the driver.
func (f *fixture) keep(h driver.Handle) driver.Handle {
	f.Helper()
	f.handles[h] = true
	if err := f.d.Attach(h); err != nil {
		f.Fatalf("attach: %v", err)
	}
	return h
}

// closeHandle closes a handle of the fixture's before the end of the test.
func (f *fixture) closeHandle(h driver.Handle) {
	f.Helper()
	delete(f.handles, h)
	if err := closeHandle(h); err != nil {
		f.Fatalf("close handle: %v", err)
	}
}

func read(h driver.Handle, bytes int, off int64) *driver.Request {
	return &driver.Request{Kind: driver.Read, FD: h, Buf: make([]byte, bytes), Off: off}
}

func write(h driver.Handle, content string, off int64) *driver.Request {
	return &driver.Request{Kind: driver.Write, FD: h, Buf: []byte(content), Off: off}
}

// got is what a read has read.
func got(r *driver.Request) string { return string(r.Buf[:r.N]) }
