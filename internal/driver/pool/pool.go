//go:build unix

package pool

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// Driver implements driver.Driver. One lock covers all bookkeeping, in owned mode too, since workers and poller are goroutines
// of their own; no call that can block is made under it.
type Driver struct {
	owned      bool
	maxThreads int

	mu      sync.Mutex
	queue   list       // queued: for a worker
	running list       // running: on a worker, or being attempted
	staged  list       // staged: owned mode, not yet started
	workers int        // goroutines in work
	outside int        // goroutines in runOutside, which do not count against maxThreads
	ended   *sync.Cond // workers, outside or the poller went down
	work    func()     // d.worker, made once: a new one a goroutine would be an allocation

	watches map[int]*watch
	spare   []*watch
	poller  poller
	blocked map[*driver.Request]*blocked // running ones that a cancel has to interrupt

	delivery
	driver.PickedBuffers

	files
	bufs atomic.Pointer[[][]byte] // registered: kept reachable
}

// Where a request in flight is: the low bits of its State.Slot. Every change happens under the lock, so that whoever moves a
// request has claimed it, and a canceller knows what is left to do.
const (
	idle    uint32 = iota // not in flight here
	staged                // in Driver.staged
	queued                // in Driver.queue
	waiting               // in its watch's list
	running               // in Driver.running, with whoever carries it out
	done                  // in delivery.done

	phases   uint32 = 7
	stepwise uint32 = 8  // a worker calls the kind's step, not its exec
	outward  uint32 = 16 // a splice that waits for its output
)

// Threads the runtime can't do with more of: it ends the program at 10,000 (debug.SetMaxThreads).
const maxMaxThreads = 8192

var _ driver.Driver = (*Driver)(nil)

// Open makes a driver. Options.MaxThreads is how many threads it may block at a time; zero: 32, or four for each processor if
// that is more. A blocked thread uses no processor but makes up the depth of the queue that the disk sees, and 32 is where
// most disks are busy. Options.Depth means nothing here. The error is the system's: EMFILE, ENOMEM.
func Open(o driver.Options) (*Driver, error) {
	d := &Driver{owned: o.Owned, maxThreads: o.MaxThreads, watches: map[int]*watch{}, blocked: map[*driver.Request]*blocked{}}
	if d.maxThreads <= 0 {
		d.maxThreads = max(32, 4*runtime.GOMAXPROCS(0))
	}
	d.maxThreads = min(d.maxThreads, maxMaxThreads)
	d.ended = sync.NewCond(&d.mu)
	d.work = d.worker
	d.delivery.init()
	if err := d.poller.open(d); err != nil {
		return nil, err
	}
	return d, nil
}

// Name is "pool".
func (d *Driver) Name() string { return Name }

// Attach reports a descriptor that is not open; nothing else is needed.
func (d *Driver) Attach(h driver.Handle) error {
	if i, ok := h.Registered(); ok && d.isOpen(i) {
		return nil
	}
	_, err := unix.FcntlInt(uintptr(descriptor(h)), unix.F_GETFD, 0)
	return err
}

// Detach has nothing to undo: what the poller may still know about a descriptor ends with it.
func (d *Driver) Detach(h driver.Handle) error { return d.Attach(h) }

// descriptor is h as a system call takes it, -1 if it can't be one, or only a request can say which.
func descriptor(h driver.Handle) int {
	switch {
	case h == driver.CurrentDir:
		return unix.AT_FDCWD
	case h > math.MaxInt32: // a negative one too: system calls would look at the low half only
		return -1
	}
	return int(h)
}

// Submit implements driver.Driver. In shared mode it answers on the spot what needs no wait: a no-op, a read from the page
// cache, a transfer on a stream that is ready.
func (d *Driver) Submit(r *driver.Request) bool {
	r.Reset()
	d.hold(r)
	if !d.owned {
		done := d.start(r) // if not, it may be back and somebody else's
		if done {
			d.letGo(r)
		}
		return done
	}
	d.mu.Lock()
	r.State.Slot = staged
	d.staged.push(r)
	d.mu.Unlock()
	return false
}

// SubmitChain leaves chains to the manager.
func (d *Driver) SubmitChain([]*driver.Request) bool { return false }

// Here implements driver.Driver.
func (d *Driver) Here(r *driver.Request) { Exec(r) }

// Own implements driver.Driver. Any goroutine will do, one at a time.
func (d *Driver) Own() error { return nil }

// Flush implements driver.Driver. It starts what owned mode has staged; nobody else can touch that meanwhile.
func (d *Driver) Flush() error {
	d.mu.Lock()
	l := d.staged
	d.staged = list{}
	d.mu.Unlock()
	var back list
	for r := l.pop(); r != nil; r = l.pop() {
		r.State.Slot = idle
		if d.start(r) {
			back.push(r)
		}
	}
	if back.empty() {
		return nil
	}
	d.mu.Lock()
	for r := back.pop(); r != nil; r = back.pop() {
		d.deliver(r)
	}
	d.mu.Unlock()
	return nil
}

// start begins r, and reports whether it is done already.
func (d *Driver) start(r *driver.Request) bool {
	how := &table[r.Kind]
	switch {
	case r.Kind == driver.Nop:
		return true
	case how.exec == nil:
		r.Err = driver.ErrUnsupported
		return true
	case how.start != nil:
		return how.start(d, r)
	}
	return d.startOnWorker(r, 0)
}

// startOnWorker queues r for a worker.
func (d *Driver) startOnWorker(r *driver.Request, flags uint32) bool {
	d.mu.Lock()
	r.State.Slot = flags
	d.enqueue(r)
	d.cancelAsked(r)
	d.mu.Unlock()
	return false
}

// moveTo says where r is now. The lock is held.
func moveTo(r *driver.Request, phase uint32) { r.State.Slot = r.State.Slot&^phases | phase }

// enqueue leaves r to a worker. The lock is held, r is in no list.
func (d *Driver) enqueue(r *driver.Request) {
	moveTo(r, queued)
	d.queue.push(r)
	if d.workers < d.maxThreads {
		d.workers++
		go d.work()
	}
}

// run claims r for the caller, who carries it out without the lock and then calls settle. The lock is held, r is in no list.
func (d *Driver) run(r *driver.Request) {
	moveTo(r, running)
	d.running.push(r)
}

// worker carries out queued requests until there are none.
func (d *Driver) worker() {
	d.mu.Lock()
	for {
		r := d.queue.pop()
		if r == nil {
			d.workers--
			d.ended.Broadcast()
			d.mu.Unlock()
			return
		}
		d.run(r)
		step := table[r.Kind].step
		if r.State.Slot&stepwise == 0 {
			step = nil
		}
		d.mu.Unlock()
		fd, fd2 := d.descriptor(r), d.descriptor2(r)
		out := finished
		if step != nil {
			out = step(d, r, fd, fd2)
		} else {
			execute(r, fd, fd2)
		}
		d.mu.Lock()
		if out != elsewhere && d.settle(r, out) {
			d.deliver(r)
		}
	}
}

// runOutside carries on with r, which is running, on a goroutine outside of the bounded set: step waits for somebody else, or
// at least may. As many of its kind as there are workers would hold up everybody. The lock is held.
func (d *Driver) runOutside(r *driver.Request, step func(r *driver.Request) outcome) {
	d.outside++
	go func() {
		out := step(r)
		d.mu.Lock()
		if d.settle(r, out) {
			d.deliver(r)
		}
		d.outside--
		d.ended.Broadcast()
		d.mu.Unlock()
	}()
}

// outcome is what became of a request that was carried out, as far as it went.
type outcome uint8

const (
	finished    outcome = iota // N and Err are set
	notReady                   // it has to wait for its descriptor
	needsThread                // its descriptor is ready, but may block the call all the same
	elsewhere                  // runOutside carries it on
)

// settle ends what run began, and reports whether r is done, in which case its State is zero. The lock is held.
func (d *Driver) settle(r *driver.Request, out outcome) bool {
	d.running.remove(r)
	if out != finished && (r.State.Canceling || r.Asked.Load()) {
		canceled(r)
		out = finished
	}
	switch out {
	case notReady:
		d.await(r)
		return false
	case needsThread:
		d.run(r)
		d.runOutside(r, d.transferOnThread)
		return false
	}
	d.leaveWatch(r)
	r.State = driver.Private{}
	return true
}

// canceled is the result of a request that was ended before it was done: what it moved so far, else ErrCanceled.
func canceled(r *driver.Request) {
	if r.N == 0 {
		r.Err = driver.ErrCanceled
	}
}

// isCanceling reports whether r, which the caller carries out, has been cancelled.
func (d *Driver) isCanceling(r *driver.Request) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return r.State.Canceling || r.Asked.Load()
}

// cancelAsked passes on a cancel that came before r could be found. The lock is held.
func (d *Driver) cancelAsked(r *driver.Request) {
	if r.Asked.Load() {
		d.cancel(r)
	}
}

// Cancel implements driver.Driver.
func (d *Driver) Cancel(r *driver.Request) {
	d.mu.Lock()
	d.cancel(r)
	d.mu.Unlock()
}

// CancelAll implements driver.Driver.
func (d *Driver) CancelAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.staged.empty() {
		d.cancel(d.staged.head)
	}
	for !d.queue.empty() {
		d.cancel(d.queue.head)
	}
	for _, w := range d.watches {
		for !w.list.empty() {
			d.cancel(w.list.head)
		}
	}
	for r := d.running.head; r != nil; r = r.State.Next {
		d.cancel(r)
	}
}

// cancel ends r, or tells whoever carries it out. The lock is held.
func (d *Driver) cancel(r *driver.Request) {
	switch r.State.Slot & phases {
	case staged:
		d.staged.remove(r)
	case queued:
		d.queue.remove(r)
	case waiting:
		d.unlist(r)
	case running:
		r.State.Canceling = true
		if b := d.blocked[r]; b != nil {
			b.interrupt()
		}
		return
	default:
		return
	}
	canceled(r)
	d.deliver(r)
}

// RegisterBuffers implements driver.Driver.
func (d *Driver) RegisterBuffers(bufs [][]byte) error {
	d.bufs.Store(&bufs)
	return nil
}

// Strays implements driver.Driver.
func (d *Driver) Strays() (foreign, late int64) { return 0, 0 }

// Threads implements driver.Driver.
func (d *Driver) Threads() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.workers + d.outside + d.poller.threads()
}

// Close implements driver.Driver. It waits for the last worker to end, which may still be on its way out.
func (d *Driver) Close() error {
	d.mu.Lock()
	for d.workers > 0 || d.outside > 0 {
		d.ended.Wait()
	}
	d.mu.Unlock()
	d.poller.close()
	d.delivery.close()
	return d.RegisterFiles(nil)
}
