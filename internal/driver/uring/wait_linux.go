package uring

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// Wait implements driver.Driver.
func (d *Driver) Wait(batch []*driver.Request, timeout time.Duration) (int, error) {
	if d.owned {
		return d.waitOwned(batch, timeout)
	}
	if d.gathering.Load() {
		runtime.Gosched() // those that the last batch woke run first, and leave their next requests
		d.gathering.Store(false)
	}
	n, woken := d.look(batch)
	if n == 0 && !woken && timeout != 0 {
		n = d.poll.wait(d, batch, timeout)
	}
	if n >= gatherFrom {
		d.gathering.Store(true)
	}
	return n, nil
}

// gatherFrom is how many completions make a batch whose followers are submitted together. Below it the yield costs more than
// the system calls it saves.
const gatherFrom = 2

// gatherMost is how many submissions are gathered before they are sent all the same. If a large batch went to the device together
// it would come back together, while the device had nothing to do meanwhile (docs/decisions.md).
const gatherMost = 8

// look takes what is there (shared mode), and reports whether Wait has been woken.
func (d *Driver) look(batch []*driver.Request) (n int, woken bool) {
	woken = d.woken.Load() && d.woken.Swap(false)
	d.mu.Lock()
	if d.ring.NeedsEnter() {
		d.mu.Unlock()
		d.ring.Submit(0, ring.EnterGetEvents)
		d.mu.Lock()
	}
	n = d.reap(batch)
	d.retry()
	d.mu.Unlock()
	d.kick()
	if woken {
		n += d.takeFallen(batch[n:])
	}
	return n, woken
}

// waitOwned is one io_uring_enter that submits and waits.
func (d *Driver) waitOwned(batch []*driver.Request, timeout time.Duration) (int, error) {
	if err := d.own(); err != nil {
		return 0, err
	}
	d.retry()
	if len(d.retries) > 0 { // completions have to be taken first: only look
		timeout = 0
	}
	d.ring.Publish()
	var errno unix.Errno
	if timeout == 0 || d.ring.HasCompletions() || d.woken.Load() {
		// With DEFER_TASKRUN the kernel finishes requests only when asked for events.
		_, errno = d.ring.Submit(d.ring.Pending(), ring.EnterGetEvents)
	} else {
		var ts *unix.Timespec
		if timeout > 0 {
			d.timeout = unix.NsecToTimespec(int64(timeout))
			ts = &d.timeout
		}
		_, errno = d.ring.SubmitAndWait(d.ring.Pending(), 1, ts)
	}
	switch errno {
	case 0, unix.EINTR, unix.ETIME, unix.EBUSY, unix.EAGAIN: // the last two: take completions, submit again next time
	default:
		return 0, ownerError(errno)
	}
	n := d.reap(batch)
	if d.woken.Load() && d.woken.Swap(false) {
		n += d.takeFallen(batch[n:])
	}
	var err error
	if d.ring.Unpublished() { // a request was started again
		err = d.Flush()
	}
	d.settleTell()
	return n, err
}

// reap takes completions out of the queue until batch is full.
func (d *Driver) reap(batch []*driver.Request) int {
	n := 0
	for n < len(batch) {
		cqe := d.ring.Peek()
		if cqe == nil {
			break
		}
		data, res, flags := cqe.UserData, cqe.Res, cqe.Flags
		d.ring.Next()
		if r := d.complete(data, res, flags); r != nil {
			batch[n] = r
			n++
		}
	}
	d.ring.Release()
	return n
}

// complete takes in one completion, and returns the request that is back by it, if one is.
func (d *Driver) complete(data uint64, res int32, flags uint32) *driver.Request {
	i := uint32(data)
	if i == 0 {
		if data == eventData && flags&ring.CQEFMore == 0 {
			// The multishot poll ended: an overflow, or a kernel before 5.13. Arm it again.
			d.armEvent()
		}
		return nil
	}
	if int(i) > len(d.slots) {
		d.foreign.Add(1)
		return nil
	}
	s := &d.slots[i-1]
	if s.req == nil || s.gen != uint32(data>>32)&genMask {
		if data&cancelBit == 0 { // or else it is the answer to a cancel that came too late
			d.late.Add(1)
		}
		return nil
	}
	r := s.req
	if data&cancelBit != 0 {
		d.cancelAnswered(r, res)
		return nil
	}
	if r.Flags&driver.ZeroCopy != 0 {
		if flags&ring.CQEFMore != 0 {
			d.lent(r, s, res)
			return nil
		}
		if flags&ring.CQEFNotif != 0 {
			res, flags = given(r, s, res), 0
		}
	}
	if res < 0 && d.again(r, s, unix.Errno(-res)) {
		return nil
	}
	if s.polling {
		s.polling = false
		if !r.State.Canceling {
			d.restart(r) // ready, or the poll failed as the request itself will
			return nil
		}
		res = -int32(unix.ECANCELED)
	}
	next, canceling, answered, reset := r.State.Next, r.State.Canceling, s.answered, s.reset
	if flags&ring.CQEFMore != 0 {
		switch {
		case r.Flags&driver.Multishot != 0:
			return d.shot(r, res, flags)
		case r.Kind == driver.Raw && !answered:
			s.answered = true
			d.result(r, res, flags, canceling)
		}
		return nil
	}
	d.release(r)
	if next != nil {
		next.State.Prev = nil
		if next.State.Canceling {
			d.sendCancel(next) // its turn has come: now it can be found
		}
	}
	if !answered {
		d.result(r, res, flags, canceling)
	}
	if reset {
		r.Err = driver.ErrCanceled
	}
	if flags&ring.CQEFBuffer != 0 {
		r.Ext.Shots.Taken = d.taken(r, flags)
	}
	if r.Flags&driver.Multishot != 0 {
		return lastShot(r)
	}
	return r
}

// result stores what the kernel answered.
func (d *Driver) result(r *driver.Request, res int32, flags uint32, canceling bool) {
	if r.Kind == driver.Raw {
		r.Ext.Result = driver.RawResult{Res: res, Flags: flags}
	}
	if res >= 0 {
		r.N, r.Err = int(res), nil
		if finish := table[r.Kind].finish; finish != nil {
			finish(r)
		}
		return
	}
	errno := unix.Errno(-res)
	r.N, r.Err = 0, error(errno)
	if errno == unix.ECANCELED || canceling && (interrupted(errno) || errno == unix.EAGAIN || errno == unix.ENOBUFS && buffersOf(r) != nil) { // all say that nothing was done
		r.Err = driver.ErrCanceled
	}
}

// interrupted reports what a system call interrupted in a kernel worker answers: EINTR, or one of the kernel's internal
// ERESTART numbers (512 to 516), which leak out when an open of a FIFO is cancelled (seen on Linux 6.18).
func interrupted(errno unix.Errno) bool {
	return errno == unix.EINTR || errno >= 512 && errno <= 516
}

// maxTries bounds how often a request is started again by itself, so that a descriptor that polls ready and answers EAGAIN
// for ever cannot keep the loop busy.
const maxTries = 64

// again starts a failed request again where the failure is not the caller's business: a descriptor opened with O_NONBLOCK
// that is not ready (Linux before 5.18 or so answers EAGAIN at once), a worker that was interrupted, or a cancel that
// nobody asked for (the thread that submitted the request has ended).
func (d *Driver) again(r *driver.Request, s *slot, errno unix.Errno) bool {
	if r.State.Canceling || r.Kind == driver.Raw || r.State.Next != nil || r.State.Tries >= maxTries {
		return false
	}
	switch b := buffersOf(r); {
	case errno == unix.ENOBUFS && b != nil:
		d.starve(r, b.Platform.(*group))
		return true
	case errno == unix.EINVAL && b != nil && r.Flags&driver.Multishot != 0 && !b.Platform.(*group).single:
		b.Platform.(*group).single = true // a kernel before Linux 6.0, perhaps
	case errno == unix.EINVAL && r.Kind == driver.Accept && r.Flags&driver.Multishot != 0 && r.State.Tries == 0:
		// a kernel before 5.19, perhaps
	case r.Flags&driver.ZeroCopy != 0 && !s.copies && mustCopy(errno):
		s.copies = true
	case errno == unix.EAGAIN && !s.polling && mayPoll(r):
		s.polling = true
	case interrupted(errno), errno == unix.ECANCELED && !r.State.Linked:
	default:
		return false
	}
	r.State.Tries++
	d.restart(r)
	return true
}

// mayPoll reports whether EAGAIN says of r that its descriptor is not ready, and not what its caller has asked to be told.
func mayPoll(r *driver.Request) bool {
	switch {
	case r.Kind == driver.Splice:
		return r.Arg&unix.SPLICE_F_NONBLOCK == 0
	case r.Kind >= driver.Recv && r.Kind <= driver.SendMsg:
		return r.Arg&unix.MSG_DONTWAIT == 0
	}
	return r.Kind.Transfers() || r.Kind == driver.Accept
}

// restart puts r, or the poll that comes before it, into the queue again, under the slot that it has.
func (d *Driver) restart(r *driver.Request) {
	sqe := d.ring.NextSQE()
	if sqe == nil {
		d.putOff(retry{req: r, data: d.data(r)})
		return
	}
	s := &d.slots[r.State.Slot-1]
	if s.polling {
		h, events := pollFor(r)
		sqe.Opcode, sqe.OpFlags = ring.OpPollAdd, events
		target(sqe, h)
	} else {
		table[r.Kind].fill(sqe, r)
		if r.Flags&driver.ZeroCopy != 0 {
			d.lend(sqe, r)
		}
	}
	sqe.UserData = d.data(r)
	d.publish(1)
}

// pollFor is what r waits for after EAGAIN. A splice does not say which of its sides is not ready: it waits for one and the other
// in turn.
func pollFor(r *driver.Request) (h driver.Handle, events uint32) {
	switch {
	case r.Kind.Transfers() && !r.Kind.Reads():
		return r.FD, unix.POLLOUT
	case r.Kind == driver.Splice && r.State.Tries%2 == 0:
		return r.Ext.FD2, unix.POLLOUT
	}
	return r.FD, unix.POLLIN
}

// Cancel implements driver.Driver.
func (d *Driver) Cancel(r *driver.Request) {
	d.lock()
	if !d.inFlight(r) {
		d.unlock()
		return
	}
	d.cancel(r)
	d.unlock()
	if !d.owned {
		d.kick()
	}
}

// cancel cancels r, which is in flight. The lock is held.
func (d *Driver) cancel(r *driver.Request) {
	if d.slots[r.State.Slot-1].outside {
		d.opens.Cancel(r)
		return
	}
	r.State.Canceling = true
	s := &d.slots[r.State.Slot-1]
	switch {
	case s.hungry:
		s.hungry = false
		d.feed(r)
		return
	case s.answered && r.Flags&driver.ZeroCopy != 0:
		resetConnection(r, s)
		return
	}
	if r.State.Prev == nil { // else the kernel can't find it yet: complete sends the cancel when its turn comes
		d.sendCancel(r)
	}
}

// CancelAll implements driver.Driver.
func (d *Driver) CancelAll() {
	d.lock()
	for i := range d.slots {
		if r := d.slots[i].req; r != nil && !r.State.Canceling {
			d.cancel(r)
		}
	}
	d.unlock()
	if !d.owned {
		d.kick()
	} else if d.ready {
		d.Flush()
	}
}

// sendCancel queues the cancel of r by its user data, which names this request and no other. On a full queue it is kept.
func (d *Driver) sendCancel(r *driver.Request) {
	sqe := d.ring.NextSQE()
	if sqe == nil {
		d.putOff(retry{req: r, data: d.data(r), cancel: true})
		return
	}
	data := d.data(r)
	sqe.Opcode, sqe.FD, sqe.Addr, sqe.UserData = ring.OpAsyncCancel, -1, data, data|cancelBit
	d.publish(1)
}

// cancelAnswered looks at the kernel's answer to a cancel of r, which is still in flight. ENOENT for a request whose place in
// a chain has just come means that it was not started yet: ask again. For all others it means that the completion is on its
// way, and EALREADY that it cannot be stopped or was told to.
func (d *Driver) cancelAnswered(r *driver.Request, res int32) {
	if res == -int32(unix.ENOENT) && r.State.Linked && r.State.Prev == nil {
		d.sendCancel(r)
	}
}

// putOff keeps what found the queue full for Wait, and sees to it that Wait looks: none of it makes a completion of its own.
func (d *Driver) putOff(t retry) {
	d.retries = append(d.retries, t)
	if d.owned {
		d.tell()
	} else {
		d.signal()
	}
}

// retry passes on what found the queue full, as far as there is room; what is left has been put off again. The lock is held.
func (d *Driver) retry() {
	for before := len(d.retries) + 1; len(d.retries) > 0 && len(d.retries) < before; {
		before = len(d.retries)
		if d.owned {
			d.Flush()
		}
		kept := d.retries
		d.retries = nil
		for _, t := range kept {
			switch {
			case t.req == nil:
				d.armEvent()
			case !d.inFlight(t.req) || d.data(t.req) != t.data:
			case t.cancel:
				d.sendCancel(t.req)
			case t.req.State.Canceling: // the kernel does not have it
				d.release(t.req)
				t.req.N, t.req.Err = 0, driver.ErrCanceled
				if t.req.Flags&driver.Multishot == 0 || lastShot(t.req) != nil {
					d.fell(t.req)
				}
			default:
				d.slots[t.req.State.Slot-1].hungry = false
				d.restart(t.req)
			}
		}
		if !d.owned { // only the caller can make more room
			return
		}
	}
}
