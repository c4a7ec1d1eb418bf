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
	mu         sync.Mutex // its own, in both modes
	queue      list
	inside     int        // in work
	outside    int        // in runOutside: they may wait for ever and don't count against max
	interrupts int        // in interrupt
	waiters    []*waiter  // each has a goroutine outside
	closing    bool       // the last waiter is to end as well
	max        int        // of inside
	ended      *sync.Cond // one of the three went down
}

// job is where a block on a worker is.
type job uint8

const (
	noJob   job = iota
	queued      // in workers.queue
	running     // with a worker
	waited      // with a waiter
	over        // its packet is on the way
)

const maxMaxThreads = 8192 // the Go runtime ends a program at 10,000

func (w *workers) init(max int) {
	if max <= 0 {
		max = defaultMaxThreads
	}
	w.max = min(max, maxMaxThreads)
	w.ended = sync.NewCond(&w.mu)
}

func (w *workers) threads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inside + w.outside
}

// wait returns when no goroutine is left.
func (w *workers) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	for _, g := range w.waiters {
		windows.SetEvent(g.call)
	}
	for w.inside+w.outside+w.interrupts > 0 {
		w.ended.Wait()
	}
}

// startOnWorker leaves r to a worker, or to one of its own if it is of a kind that may wait for somebody else, on what may.
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

// toWorker leaves r to a worker, or to one of its own if it may wait for somebody else. The lock is held.
func (d *Driver) toWorker(r *driver.Request, t target, waits bool) {
	b := d.take(r, onWorker, t)
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	b.turn++
	b.canceling, b.interrupting = false, false
	if waits {
		b.job = running
		w.outside++
		go d.runOutside(b)
	} else {
		b.job = queued
		w.queue.push(b)
		if w.inside < w.max {
			w.inside++
			go d.work()
		}
	}
	if r.Asked.Load() { // a cancel that came before the block could be found
		d.cancelJobLocked(b)
	}
}

// work carries out queued requests until there are none.
func (d *Driver) work() {
	w := &d.workers
	w.mu.Lock()
	for b := w.queue.pop(); b != nil; b = w.queue.pop() {
		b.job = running
		w.mu.Unlock()
		d.execute(b)
		w.mu.Lock()
	}
	w.inside--
	w.ended.Broadcast()
	w.mu.Unlock()
}

func (d *Driver) runOutside(b *block) {
	d.execute(b)
	w := &d.workers
	w.mu.Lock()
	w.outside--
	w.ended.Broadcast()
	w.mu.Unlock()
}

// execute carries b out and sends it back. From its packet on, b is no longer the worker's.
func (d *Driver) execute(b *block) {
	n, err := table[b.r.Kind].exec(d, b)
	b.finish(n, err, d.isCanceling(b))
	d.workers.mu.Lock()
	b.job = over
	d.workers.mu.Unlock()
	d.postAtLast(b)
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
	if r := b.r; r.Kind == driver.Open && r.Err == nil {
		d.handles.set(windows.Handle(r.N), b.opened)
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
	w := &d.workers
	switch b.job {
	case queued:
		w.queue.remove(b)
		b.job = over
		b.r.Err = driver.ErrCanceled
		d.postOrLater(b)
	case running:
		b.canceling = true
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
	d.workers.outside++
	go func() {
		d.postAtLast(b)
		d.workers.mu.Lock()
		d.workers.outside--
		d.workers.ended.Broadcast()
		d.workers.mu.Unlock()
	}()
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
		d.workers.interrupts++
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
		if b.thread != windows.InvalidHandle {
			win32.CancelSynchronousIo(b.thread)
		}
		b.cancelPending()
		w.mu.Unlock()
		time.Sleep(pause)
		w.mu.Lock()
	}
	if b.turn == turn {
		b.interrupting = false
	}
	w.interrupts--
	w.ended.Broadcast()
}
