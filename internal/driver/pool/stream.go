//go:build unix

package pool

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// watch is a descriptor that requests wait for. Transfers of one direction are carried out one at a time, in the order in
// which they came, so that two of the driver's own never compete for the same bytes.
type watch struct {
	fd        int
	list      list    // waiting, in order
	transfers [2]int  // how many transfers are in list, by direction
	busy      [2]bool // a transfer of that direction is being carried out: those behind it wait
	armed     uint32  // what the poller has been told to wait for, and has not reported
	held      bool    // in ready, which arms at its end: arm does nothing
}

const (
	// streaming marks a transfer that keeps its direction of its watch busy while it runs.
	streaming uint32 = 32
	// begun marks a connect whose result is still to come.
	begun uint32 = 64
)

// errNoAttempt says that a descriptor has no way to be read or written without blocking, short of changing its flags.
var errNoAttempt = errors.New("no attempt without blocking")

// maxTries bounds how often in a row a descriptor may poll ready and answer EAGAIN, before the caller gets the EAGAIN: a driver
// with such a fault must not keep us busy for ever. A few in a row are competing readers.
const (
	maxTries        = 64
	triesUnverified = 8 // from then on, poll tells whether it is really ready
)

// inLine reports whether requests of a kind are carried out one at a time in each direction of a descriptor.
func inLine(k driver.Kind) bool { return k.Transfers() || k == driver.Accept || k == driver.Connect }

// direction is a transfer's index in a watch.
func direction(k driver.Kind) int {
	if k.Reads() || k == driver.Accept {
		return 0
	}
	return 1
}

var directionEvents = [2]uint32{unix.POLLIN, unix.POLLOUT}

// always are the events that poll(2) reports unasked.
const always = unix.POLLERR | unix.POLLHUP | unix.POLLNVAL

// eventsOf is what r waits for.
func eventsOf(r *driver.Request) uint32 {
	switch {
	case r.Kind == driver.Poll:
		return r.Arg&askable | unix.POLLERR | unix.POLLHUP // which come unasked, but an empty question would not be asked at all
	case inLine(r.Kind):
		return directionEvents[direction(r.Kind)]
	case r.State.Slot&outward != 0:
		return unix.POLLOUT
	}
	return unix.POLLIN
}

// watched is the descriptor that r waits for.
func (d *Driver) watched(r *driver.Request) int {
	if r.State.Slot&outward != 0 {
		return d.descriptor2(r)
	}
	return d.descriptor(r)
}

// watchOn returns the watch of fd, a new one if there is none. The lock is held, as in all that follow.
func (d *Driver) watchOn(fd int) *watch {
	w := d.watches[fd]
	if w == nil {
		if n := len(d.spare); n > 0 {
			w, d.spare = d.spare[n-1], d.spare[:n-1]
		} else {
			w = new(watch)
		}
		*w = watch{fd: fd}
		d.watches[fd] = w
	}
	return w
}

// enlist makes r wait for w, which the caller then arms.
func (w *watch) enlist(r *driver.Request, first bool) {
	moveTo(r, waiting)
	if inLine(r.Kind) {
		w.transfers[direction(r.Kind)]++
	}
	if first {
		w.list.pushFront(r)
	} else {
		w.list.push(r)
	}
}

func (w *watch) delist(r *driver.Request) {
	w.list.remove(r)
	if inLine(r.Kind) {
		w.transfers[direction(r.Kind)]--
	}
}

// take claims the first transfer of a direction for the caller, nil if there is none or another is being carried out.
func (d *Driver) take(w *watch, dir int) *driver.Request {
	if w.busy[dir] || w.transfers[dir] == 0 {
		return nil
	}
	r := w.list.head
	for !inLine(r.Kind) || direction(r.Kind) != dir {
		r = r.State.Next
	}
	w.delist(r)
	w.busy[dir] = true
	d.run(r)
	return r
}

// startStream attempts a transfer, unless others are before it.
func (d *Driver) startStream(r *driver.Request, fd int) (done bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.State.Slot = streaming
	w, dir := d.watchOn(fd), direction(r.Kind)
	if w.busy[dir] || w.transfers[dir] > 0 {
		w.enlist(r, false)
		d.cancelAsked(r)
		return false
	}
	w.busy[dir] = true
	d.run(r)
	d.mu.Unlock()
	out := d.attempt(r, fd)
	d.mu.Lock()
	return d.settle(r, out)
}

// await makes r, which is in no list, wait for its descriptor: a transfer first in line, where it was.
func (d *Driver) await(r *driver.Request) {
	w := d.watchOn(d.watched(r))
	first := r.State.Slot&streaming != 0
	if first {
		w.busy[direction(r.Kind)] = false
	}
	w.enlist(r, first)
	d.arm(w)
}

// unlist takes r, which waits, out of its watch.
func (d *Driver) unlist(r *driver.Request) {
	w := d.watches[d.watched(r)]
	w.delist(r)
	d.arm(w)
}

// leaveWatch lets those behind a transfer that is over have their turn.
func (d *Driver) leaveWatch(r *driver.Request) {
	if r.State.Slot&streaming == 0 {
		return
	}
	w := d.watches[d.watched(r)]
	w.busy[direction(r.Kind)] = false
	d.arm(w)
}

// wanted is what the poller has to wait for.
func (w *watch) wanted() (events uint32) {
	for r := w.list.head; r != nil; r = r.State.Next {
		if !inLine(r.Kind) || !w.busy[direction(r.Kind)] {
			events |= eventsOf(r)
		}
	}
	return events
}

// arm tells the poller what w waits for now, and lets go of a watch that nobody needs.
func (d *Driver) arm(w *watch) {
	if w.held {
		return
	}
	if w.list.empty() && !w.busy[0] && !w.busy[1] {
		d.drop(w)
		return
	}
	if want := w.wanted(); want&^w.armed != 0 {
		if err := d.poller.arm(w.fd, want); err != nil {
			d.unpollable(w, err)
			return
		}
		w.armed = want
	}
}

func (d *Driver) drop(w *watch) {
	if w.armed != 0 {
		d.poller.disarm()
	}
	delete(d.watches, w.fd)
	d.spare = append(d.spare, w)
}

// unpollable finds another way for those that wait for w, which the poller can't wait for. EPERM says that the descriptor
// has no readiness (/dev/zero): then a transfer is a worker's, and a poll waits for what will never come, as poll(2) does. Other
// errors are theirs.
func (d *Driver) unpollable(w *watch, err error) {
	var next *driver.Request
	for r := w.list.head; r != nil; r = next {
		next = r.State.Next
		switch {
		case err != unix.EPERM || r.N > 0:
			w.delist(r)
			conclude(r, 0, err)
			d.deliver(r)
		case inLine(r.Kind):
			w.delist(r)
			r.State.Slot &^= streaming
			d.enqueue(r)
		}
	}
	if w.list.empty() && !w.busy[0] && !w.busy[1] {
		d.drop(w)
	}
}

// ready is the poller's report that fd, which was armed, has some of events. It may be wrong: about a descriptor that had the
// same number before.
func (d *Driver) ready(fd int, events uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.watches[fd]
	if w == nil {
		return
	}
	w.armed, w.held = 0, true
	d.answer(w)
	for dir, wanted := range directionEvents {
		if events&(wanted|always) == 0 {
			continue
		}
		for r := d.take(w, dir); r != nil; r = d.take(w, dir) {
			d.mu.Unlock()
			out := d.attempt(r, fd)
			d.mu.Lock()
			if !d.settle(r, out) {
				break
			}
			d.deliver(r)
		}
	}
	w.held = false
	d.arm(w)
}

// attemptOnce makes one call that does not block, or else errNoAttempt.
func (d *Driver) attemptOnce(r *driver.Request, fd int) (int, error) {
	switch {
	case r.Kind == driver.Recv && r.Ext != nil && r.Ext.Buffers != nil:
		return receiveIntoPicked(r, fd)
	case isMessage(r.Kind):
		return moveMessage(r, fd, int(r.Arg)|unix.MSG_DONTWAIT)
	case r.Kind == driver.Accept:
		return execAccept(r, fd, 0)
	case r.Kind == driver.Connect:
		return d.attemptConnect(r, fd)
	}
	return attemptTransfer(r, fd)
}

// attempt carries a transfer as far as it gets without blocking. The lock is not held.
func (d *Driver) attempt(r *driver.Request, fd int) outcome {
	for {
		n, err := d.attemptOnce(r, fd)
		if err == errNoAttempt {
			if pollNow(fd, eventsOf(r)) == 0 {
				return notReady
			}
			return needsThread
		}
		if out, over := d.advance(r, fd, n, err); over {
			return out
		}
	}
}

// transferOnThread does the same for a descriptor that can't be had without blocking: a call each time that it polls ready.
func (d *Driver) transferOnThread(r *driver.Request) outcome {
	fd := d.descriptor(r)
	for {
		if pollNow(fd, eventsOf(r)) == 0 {
			return notReady
		}
		n, err := d.transferInterruptibly(r, fd)
		if out, over := d.advance(r, fd, n, err); over {
			return out
		}
	}
}

// wantsAll reports whether a receive is to wait until its buffers are full.
func wantsAll(r *driver.Request) bool { return isMessage(r.Kind) && r.Arg&unix.MSG_WAITALL != 0 }

// advance takes in what one call did. A read is over with the first bytes; a write when all are written, as in a blocking
// write(2), or when it is cancelled.
func (d *Driver) advance(r *driver.Request, fd, n int, err error) (out outcome, over bool) {
	switch err {
	case nil:
		r.N += n
		r.State.Tries = 0
		if n == 0 || r.Kind.Reads() && !wantsAll(r) || r.N >= r.Wanted() {
			return finished, true
		}
		return notReady, d.isCanceling(r)
	case unix.EINTR:
		return notReady, d.isCanceling(r)
	case unix.EAGAIN:
		if isMessage(r.Kind) && r.Arg&unix.MSG_DONTWAIT != 0 { // the caller wants to be told
			break
		}
		r.State.Tries++
		if r.State.Tries < triesUnverified {
			return notReady, true
		}
		if pollNow(fd, eventsOf(r)) == 0 {
			r.State.Tries = 0
			return notReady, true
		}
		if r.State.Tries < maxTries {
			return notReady, true
		}
	}
	conclude(r, 0, err)
	return finished, true
}
