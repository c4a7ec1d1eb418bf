package iocp

import (
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// workers are the goroutines that block a thread for a request. One that finds nothing queued ends at once: an idle driver has none.
type workers struct {
	mu      sync.Mutex // its own, in both modes
	lanes   [laneCount]lane
	helpers int        // in interrupt, in postOrLater, and in runWaiter
	waiters []*waiter  // each has a goroutine
	closing bool       // the last waiter is to end as well
	ended   *sync.Cond // one of all these goroutines has
}

// lane is a queue of requests, first in, first out, and the workers that carry them out. What waits in one lane holds up no other, so that as many
// reads as there may be, all waiting, keep no write from the pipe that one of them reads.
type lane struct {
	queue   list
	running int // workers
	max     int // of them
}

// The lanes.
const (
	ending  = iota // what ends by itself
	inward         // what may wait for somebody who writes: reads, accepts, polls
	outward        // what may wait for somebody who reads: writes, flushes, connects
	calling        // Overlapped's calls, which may wait for anything
	laneCount
)

// laneOf is the lane of a request that may wait for somebody else.
func laneOf(k driver.Kind) int {
	switch k {
	case driver.Raw:
		return calling
	case driver.Read, driver.Readv, driver.Recv, driver.RecvMsg, driver.Accept, driver.Poll:
		return inward
	}
	return outward
}

// job is where a block on a worker is.
type job uint8

const (
	noJob   job = iota
	queued      // in its lane's queue
	running     // with a worker
	waited      // with a waiter
	over        // its packet is on the way
)

// The Go runtime ends a program at 10,000 threads (debug.SetMaxThreads). With the usual MaxThreads, three drivers that have reached all their limits
// stay below that, and one does with any.
const (
	maxMaxThreads = 4096
	maxWaiting    = 1024 // threads of each lane whose requests may wait for somebody else
)

func (w *workers) init(max int) {
	if max <= 0 {
		max = defaultMaxThreads
	}
	for i := range w.lanes {
		w.lanes[i].max = maxWaiting
	}
	w.lanes[ending].max = min(max, maxMaxThreads)
	w.ended = sync.NewCond(&w.mu)
}

func (w *workers) threads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running() + len(w.waiters)
}

// running is how many workers there are. The lock is held.
func (w *workers) running() (n int) {
	for i := range w.lanes {
		n += w.lanes[i].running
	}
	return n
}

// wait returns when no goroutine is left.
func (w *workers) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	for _, g := range w.waiters {
		windows.SetEvent(g.call)
	}
	for w.running()+w.helpers > 0 {
		w.ended.Wait()
	}
}

// startOnWorker leaves r to a worker. MayWait is whether its kind may wait for somebody else, on what does so.
func (d *Driver) startOnWorker(r *driver.Request, mayWait bool) bool {
	d.lock()
	defer d.unlock()
	t, ok := d.target(r.FD)
	if !ok {
		r.Err = windows.ERROR_INVALID_HANDLE
		return true
	}
	d.toWorker(r, t, mayWait && t.mayWait(r))
	return false
}

// mayWait reports whether a transfer or a flush of t may wait for somebody else.
func (t *traits) mayWait(r *driver.Request) bool { return !t.disk && r.Flags&driver.Regular == 0 }

// toWorker leaves r to a worker, in the lane of what ends by itself or of what may wait for somebody else. The lock is held.
func (d *Driver) toWorker(r *driver.Request, t target, waits bool) {
	b := d.take(r, onWorker, t)
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	b.turn++
	b.canceling, b.interrupting = false, false
	b.lane = &w.lanes[ending]
	if waits {
		b.lane = &w.lanes[laneOf(r.Kind)]
	}
	b.job = queued
	b.lane.queue.push(b)
	if b.lane.running < b.lane.max {
		b.lane.running++
		go d.work(b.lane)
	}
	if r.Asked.Load() { // a cancel that came before the block could be found
		d.cancelJobLocked(b)
	}
}

// work carries out l's queued requests until there are none.
func (d *Driver) work(l *lane) {
	finished := false
	defer func() {
		if !finished { // a start function called runtime.Goexit: the rest is still owed
			go d.work(l)
		}
	}()
	w := &d.workers
	w.mu.Lock()
	for b := l.queue.pop(); b != nil; b = l.queue.pop() {
		b.job = running
		w.mu.Unlock()
		d.execute(b)
		w.mu.Lock()
	}
	l.running--
	w.ended.Broadcast()
	w.mu.Unlock()
	finished = true
}

// execute carries b out and sends it back, even if that does not return. From its packet on, b is no longer the worker's.
func (d *Driver) execute(b *block) {
	n, err := 0, ErrNoReturn
	defer func() {
		b.finish(n, err, d.isCanceling(b))
		d.workers.mu.Lock()
		b.job = over
		d.workers.mu.Unlock()
		d.postAtLast(b)
	}()
	n, err = table[b.r.Kind].exec(d, b)
}

// finish sets the request's result from what its exec returned.
func (b *block) finish(n int, err error, asked bool) {
	r := b.r
	switch err.(type) {
	case nil, syscall.Errno, windows.NTStatus:
		b.result(asErrno(err), n, asked)
	default:
		r.N, r.Err = n, err
	}
}

// postAtLast posts b. If the system has no memory for a packet, there will be some.
func (d *Driver) postAtLast(b *block) {
	for !d.post(b) {
		time.Sleep(time.Millisecond)
	}
}

// fromWorker takes b over from the worker that finished it. The lock is held.
func (d *Driver) fromWorker(b *block) {
	d.workers.mu.Lock()
	b.job = noJob
	d.workers.mu.Unlock()
	d.remember(b)
}

// remember keeps what was found out about a handle that b, which is over, has made.
func (d *Driver) remember(b *block) {
	if b.opened != nil && b.r.Err == nil {
		d.handles.set(windows.Handle(b.r.N), b.opened)
	}
}

// isCanceling reports whether b, which the caller carries out, has been cancelled.
func (d *Driver) isCanceling(b *block) bool {
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	return b.canceling || b.r.Asked.Load()
}

// cancelJob ends a job that waits for a worker, or interrupts the worker.
func (d *Driver) cancelJob(b *block) {
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	d.cancelJobLocked(b)
}

func (d *Driver) cancelJobLocked(b *block) {
	switch b.job {
	case queued:
		b.lane.queue.remove(b)
		b.job = over
		b.r.Err = driver.ErrCanceled
		d.postOrLater(b)
	case running:
		b.canceling = true
		if b.stop != nil {
			close(b.stop)
			b.stop = nil
		}
		d.startInterrupt(b)
	case waited:
		b.canceling = true
		windows.SetEvent(b.waiter.call)
	}
}

// postOrLater posts b, and doesn't wait until the system has memory for that. workers.mu is held.
func (d *Driver) postOrLater(b *block) {
	if d.post(b) {
		return
	}
	d.workers.helpers++
	go func() {
		d.postAtLast(b)
		d.workers.mu.Lock()
		d.workers.helpers--
		d.workers.ended.Broadcast()
		d.workers.mu.Unlock()
	}()
}

// stoppable returns a channel that is closed when b, which the caller carries out, is cancelled; nil if it has been.
func (d *Driver) stoppable(b *block) <-chan struct{} {
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	if b.canceling {
		return nil
	}
	b.stop = make(chan struct{})
	return b.stop
}

// unstoppable ends what stoppable began.
func (d *Driver) unstoppable(b *block) {
	d.workers.mu.Lock()
	b.stop = nil
	d.workers.mu.Unlock()
}

// enter makes the call that follows one that a cancel can interrupt, until leave. It reports false if the request is cancelled already.
func (d *Driver) enter(b *block) bool {
	if b.where == here {
		return true
	}
	runtime.LockOSThread()
	// Without a handle to the thread, an overlapped call can be cancelled still.
	thread, err := windows.OpenThread(windows.THREAD_TERMINATE, false, windows.GetCurrentThreadId())
	if err != nil {
		thread = windows.InvalidHandle
	}
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	b.thread = thread
	if b.canceling {
		b.leaveLocked()
		return false
	}
	return true
}

// leave ends what enter began. The last result of the call must have been taken: leaving is the acknowledgement of a cancel.
func (d *Driver) leave(b *block) {
	if b.where == here {
		return
	}
	d.workers.mu.Lock()
	b.leaveLocked()
	d.workers.mu.Unlock()
}

func (b *block) leaveLocked() {
	if b.thread != windows.InvalidHandle {
		windows.CloseHandle(b.thread)
	}
	b.thread = 0
	runtime.UnlockOSThread()
}

// startInterrupt has a goroutine interrupt b's call until it has ended. workers.mu is held.
func (d *Driver) startInterrupt(b *block) {
	if b.thread != 0 && !b.interrupting {
		b.interrupting = true
		d.workers.helpers++
		go d.interrupt(b, b.turn)
	}
}

// interrupt asks again and again: a thread that is about to make its call has nothing yet to cancel, and is not told later.
func (d *Driver) interrupt(b *block, turn uint32) {
	const longest = 50 * time.Millisecond
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	for pause := 100 * time.Microsecond; b.turn == turn && b.thread != 0; pause = min(2*pause, longest) {
		if b.readsConsole() {
			h := b.h
			w.mu.Unlock()
			theConsole.interrupt(h, pause == longest)
		} else {
			if b.thread != windows.InvalidHandle {
				win32.CancelSynchronousIo(b.thread)
			}
			b.cancelIO(b.on)
			w.mu.Unlock()
		}
		time.Sleep(pause)
		w.mu.Lock()
	}
	if b.turn == turn {
		b.interrupting = false
	}
	w.helpers--
	w.ended.Broadcast()
}
