package iocp

import (
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// A Poll of what is signalled: an event, a process, a thread, a semaphore, a timer, a console's input. It takes no thread of its own: the block has
// a wait completion packet, or, where the system has none (Wine 10), a waiter waits for many.
//
// Waiting for an event that resets itself, or for a semaphore, uses up its signal. So a cancel never guesses: either it is certain that the
// wait was not satisfied, or the request comes back ready. RegisterWaitForSingleObject can't tell: UnregisterWaitEx may end a wait that has taken
// the signal and not yet called back.

// waitPackets are the calls of wait completion packets, as package win32 describes them.
type waitPackets struct {
	create    func() (windows.Handle, error)
	associate func(packet, port, object windows.Handle, key, overlapped uintptr) error
	cancel    func(packet windows.Handle) (before bool)
}

var systemPackets = waitPackets{win32.CreateWaitPacket, win32.AssociateWaitPacket, win32.CancelWaitPacket}

// identify finds out whether t is no file but something that is signalled. Unlike all other questions about a handle, that never waits. A mutex
// belongs to the thread that has waited for it, so that no other may do it.
func (t *target) identify() error {
	switch kind, err := win32.KindOf(t.h); {
	case err != nil:
		return asErrno(err)
	case kind == win32.MutexObject:
		return errNoMutex
	case kind != win32.FileObject:
		t.traits = traits{known: true, signals: true}
	}
	return nil
}

var (
	errNoMutex  = driver.Unsupported("a mutex belongs to the thread that has waited for it")
	errNoSignal = driver.Unsupported("what is signalled can be waited for as POLLIN alone")
)

// canSignal reports whether events are what a signal can be waited for as.
func canSignal(events uint32) bool { return events&pollIn != 0 && events&pollOut == 0 }

// startSignal answers what is signalled already, and has all else waited for. The lock is held.
func (d *Driver) startSignal(r *driver.Request, t target) (done bool) {
	if !canSignal(r.Arg) {
		r.Err = errNoSignal
		return true
	}
	state, err := windows.WaitForSingleObject(t.h, 0)
	switch {
	case err != nil:
		r.Err = asErrno(err)
		return true
	case state == windows.WAIT_OBJECT_0:
		r.N = pollIn
		return true
	case d.packets == nil:
		return d.toWaiter(r, t)
	}
	b := d.take(r, pending, t)
	if err := d.associate(b); err != nil {
		r.Err = asErrno(err)
		d.release(b)
		return true
	}
	if b.asked() { // before the block could be found
		d.cancelSignal(b)
	}
	return false
}

// associate has b's packet wait. Rule: the address of ov is a number to the system, which only comes back in what is posted; packet finds a
// success in ov, as after a call.
func (d *Driver) associate(b *block) (err error) {
	if b.packet == 0 {
		if b.packet, err = d.packets.create(); err != nil {
			return err
		}
	}
	b.ov = windows.Overlapped{}
	return d.packets.associate(b.packet, d.port, b.h, keySystem, uintptr(unsafe.Pointer(&b.ov)))
}

// cancelSignal ends b's wait if it was not satisfied. Else what it has posted brings b back. The lock is held.
func (d *Driver) cancelSignal(b *block) {
	if !d.packets.cancel(b.packet) {
		return
	}
	b.where, b.r.Err = posted, driver.ErrCanceled
	d.workers.mu.Lock()
	defer d.workers.mu.Unlock()
	d.postOrLater(b)
}

// execSignal waits on a thread of its own, for a handle that startPoll could not ask what it is.
func execSignal(d *Driver, b *block) (int, error) {
	if !canSignal(b.r.Arg) {
		return 0, errNoSignal
	}
	if err := b.needEvent(); err != nil {
		return 0, err
	}
	if err := windows.ResetEvent(b.event); err != nil {
		return 0, err
	}
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	switch i, err := windows.WaitForMultipleObjects([]windows.Handle{b.h, b.event}, false, windows.INFINITE); {
	case err != nil:
		return 0, err
	case i == windows.WAIT_OBJECT_0:
		return pollIn, nil
	}
	return 0, driver.ErrCanceled
}

// waiter is a goroutine that waits for the handles of several blocks. What becomes of a block that it has, it decides alone: it has seen
// which wait was satisfied, and no other was. workers.mu covers it.
type waiter struct {
	call   windows.Handle // an event: look anew
	blocks []*block
}

// waiterMost is how many handles one call waits for, less the waiter's own event: MAXIMUM_WAIT_OBJECTS.
const waiterMost = 64 - 1

// toWaiter leaves r to a waiter. The lock is held.
func (d *Driver) toWaiter(r *driver.Request, t target) (done bool) {
	var object windows.Handle
	self := windows.CurrentProcess()
	if err := windows.DuplicateHandle(self, t.h, self, &object, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		r.Err = asErrno(err)
		return true
	}
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	g, err := d.freeWaiter()
	if err != nil {
		windows.CloseHandle(object)
		r.Err = asErrno(err)
		return true
	}
	b := d.take(r, onWorker, t)
	b.object = object
	b.turn++
	b.canceling, b.interrupting = false, false
	b.job, b.waiter = waited, g
	g.blocks = append(g.blocks, b)
	windows.SetEvent(g.call)
	if r.Asked.Load() {
		d.cancelJobLocked(b)
	}
	return false
}

// freeWaiter is a waiter that has room, a new one if there is none. workers.mu is held.
func (d *Driver) freeWaiter() (*waiter, error) {
	w := &d.workers
	for _, g := range w.waiters {
		if len(g.blocks) < waiterMost {
			return g, nil
		}
	}
	call, err := windows.CreateEvent(nil, 0, 0, nil)
	if err != nil {
		return nil, err
	}
	g := &waiter{call: call}
	w.waiters = append(w.waiters, g)
	w.helpers++
	go d.runWaiter(g)
	return g, nil
}

// runWaiter waits for g's blocks. A block that has had its turn goes to the end when it is back, so that one that is always
// signalled holds up no other.
func (d *Driver) runWaiter(g *waiter) {
	var blocks []*block
	handles := [1 + waiterMost]windows.Handle{g.call}
	for {
		var more bool
		if blocks, more = d.lookAnew(g, blocks); !more {
			return
		}
		for i, b := range blocks {
			handles[1+i] = b.object
		}
		switch i, err := windows.WaitForMultipleObjects(handles[:1+len(blocks)], false, windows.INFINITE); {
		case err != nil: // no memory, for instance: there will be some
			time.Sleep(time.Millisecond)
		case i > windows.WAIT_OBJECT_0 && int(i) <= len(blocks):
			d.signalled(blocks[i-1], pollIn, nil)
		}
	}
}

// lookAnew sends back what was cancelled, and stores in blocks what g waits for. Without any, it ends g, unless it is the only one: a wait that is
// started again and again needs no new one each time.
func (d *Driver) lookAnew(g *waiter, blocks []*block) (_ []*block, more bool) {
	w := &d.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	blocks = append(blocks[:0], g.blocks...)
	for _, b := range blocks {
		if b.canceling {
			w.mu.Unlock()
			d.signalled(b, 0, driver.ErrCanceled)
			w.mu.Lock()
		}
	}
	if blocks = append(blocks[:0], g.blocks...); len(blocks) > 0 || len(w.waiters) == 1 && !w.closing {
		return blocks, true
	}
	w.waiters = slices.DeleteFunc(w.waiters, func(other *waiter) bool { return other == g })
	windows.CloseHandle(g.call)
	w.helpers--
	w.ended.Broadcast()
	return nil, false
}

// signalled takes b from its waiter and sends it back.
func (d *Driver) signalled(b *block, events int, err error) {
	b.finish(events, err, false)
	windows.CloseHandle(b.object)
	w := &d.workers
	w.mu.Lock()
	g := b.waiter
	g.blocks = slices.DeleteFunc(g.blocks, func(other *block) bool { return other == b })
	b.waiter, b.job = nil, over
	w.mu.Unlock()
	d.postAtLast(b)
}
