package ringport

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Event is a set of conditions of a handle that [Manager.Watch] waits for.
type Event uint32

// The events. HangUp and Error are reported whether asked for or not, as poll(2) does. Where they mean that a read or a write would not wait,
// Readable and Writable are reported beside them to who has asked for those.
const (
	Readable  Event = 1 << iota // a read would not wait, be it that it finds the end or fails
	Writable                    // a write of some bytes would not wait, be it that it fails
	HangUp                      // the other end is gone, or will send no more
	Error                       // the handle has an error condition, or can't be waited for: see [Registration.Err]
	Signalled                   // an event, process, timer and the like is signalled; Linux: an eventfd, a pidfd, a timerfd is readable

	allEvents = Readable | Writable | HangUp | Error | Signalled
)

var eventNames = [...]string{"readable", "writable", "hang-up", "error", "signalled"}

// String is the events' names, "readable|hang-up" for instance.
func (e Event) String() string {
	var names []string
	for i, name := range eventNames {
		if e&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if e&^allEvents != 0 {
		names = append(names, "0x"+strconv.FormatUint(uint64(e&^allEvents), 16))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

// pollRdHup is Linux's POLLRDHUP. Io_uring reports it unasked, and so everybody is asked for it.
const pollRdHup = 0x2000

// poll is what a poll for e asks for.
func (e Event) poll() (events uint32) {
	events = pollRdHup
	if e&(Readable|Signalled) != 0 {
		events |= PollIn
	}
	if e&Writable != 0 {
		events |= PollOut
	}
	return events
}

// among is the events that a poll has found, named as in e, which asked for them. Systems disagree on whether PollIn comes with the end: Linux
// says so of a socket and not of a pipe.
func (e Event) among(found int) (ready Event) {
	if found&PollIn != 0 {
		ready |= e & (Readable | Signalled)
	}
	if found&(PollHup|PollErr|pollRdHup) != 0 {
		ready |= e & Readable
	}
	if found&(PollOut|PollHup|PollErr) != 0 { // a peer that sends no more may still receive, and be slow
		ready |= e & Writable
	}
	if found&(PollHup|pollRdHup) != 0 {
		ready |= HangUp
	}
	if found&PollErr != 0 {
		ready |= Error
	}
	return ready
}

// Lifetime is how often a registration reports events.
type Lifetime uint8

const (
	// OneShot: once. The registration ends when its function is called.
	OneShot Lifetime = iota
	// Persistent: whenever there is something to report, until [Registration.Close].
	Persistent
)

// String is "one-shot" or "persistent".
func (l Lifetime) String() string {
	switch l {
	case OneShot:
		return "one-shot"
	case Persistent:
		return "persistent"
	}
	return "lifetime " + strconv.Itoa(int(l))
}

// Registration is what [Manager.Watch] returns. It keeps itself alive until it ends.
type Registration struct {
	m        *Manager
	f        func(r *Registration, ready Event)
	events   Event
	lifetime Lifetime
	number   uint64

	// The wait for events, one at a time: it is started again when f has returned. A poll that is started finds what is there, so that
	// what f has left is reported again.
	op     Op
	onPoll func(op *Op) // r.polled, made once

	mu      sync.Mutex
	stopped sync.Cond // running became false
	running bool      // f is being called
	over    bool      // f will not be called again
	gone    bool      // the handle was closed
	err     error

	next, prev *Registration // with the same handle: watches.mu
}

// watches are a manager's registrations that are not over, to be found by those who close their handle.
type watches struct {
	mu    sync.Mutex
	on    map[Handle]*Registration // the last of each handle
	count atomic.Int64             // of handles
	last  uint64                   // number given to a registration
}

// Watch has f called when h is ready for one of events: once, or (Persistent) again and again for as long as h is ready, each time after the
// call before has returned. The condition counts, not its change (level, not edge): what f leaves unread is reported again, and a
// Persistent wait for Writable is called all the time while h has room. A signal that waiting for it uses up, that of an event which resets
// itself or of a semaphore (Windows), is reported to one registration, once.
//
// F is called as callbacks are: on a worker's goroutine (threaded), where it may block, or from Step (caller-driven). It may start, cancel and close
// anything, r and the manager included. Calls for one registration never overlap. Ready has those of events that are there, and HangUp and
// Error.
//
// H may be what [PollReady] takes; it is not attached to anything by that. Any number of registrations may watch the same handle, each for its own
// events. Close the registration before the handle. If [CloseHandle] or [File.Close] closes the handle first, the registration ends: f is called
// with Error, and [Registration.Err] matches os.ErrClosed. It ends when the CloseHandle is started, in a chain with the whole chain, whatever comes of
// it. How else a handle may be closed, and what that means, is in docs/semantics.md.
// An error that appears only while waiting ends the registration in the same way: [ErrUnsupported] for what cannot be waited for, for instance, and
// what is said of a handle that is not open (EBADF, ERROR_INVALID_HANDLE) for an empty place among the registered files.
// The manager's Close ends it without a call: Err is [ErrManagerClosed] then.
//
// Watch fails with the system's error for what is not an open handle (EBADF, ERROR_INVALID_HANDLE), [ErrManagerClosed], [ErrNilCallback], or
// [ErrInvalidOp], with what is wrong, if there are no events or unknown ones, or the lifetime is unknown. See poll(2).
func (m *Manager) Watch(h Handle, events Event, lifetime Lifetime, f func(r *Registration, ready Event)) (*Registration, error) {
	r := &Registration{m: m, f: f, events: events, lifetime: lifetime, op: PollReady(h, events.poll())}
	r.stopped.L = &r.mu
	r.onPoll = r.polled
	switch {
	case f == nil:
		return nil, r.failed(ErrNilCallback)
	case events == 0:
		return nil, r.failed(fmt.Errorf("%w: no events", ErrInvalidOp))
	case events&^allEvents != 0:
		return nil, r.failed(fmt.Errorf("%w: events %v", ErrInvalidOp, events))
	case lifetime > Persistent:
		return nil, r.failed(fmt.Errorf("%w: %v", ErrInvalidOp, lifetime))
	}
	if _, registered := h.Registered(); !registered {
		if err := checkOpen(h); err != nil {
			return nil, r.failed(err)
		}
	}
	m.watches.add(r)
	if err := r.poll(); err != nil {
		m.watches.remove(r)
		return nil, r.failed(err)
	}
	return r, nil
}

// failed is err as the registration's error.
func (r *Registration) failed(err error) error {
	return &OpError{Op: "watch", Name: r.op.displayName(), Err: err}
}

// polled takes in what a poll has found, and calls f.
func (r *Registration) polled(op *Op) {
	found, err := op.Result()
	r.mu.Lock()
	ready := r.events.among(found)
	switch {
	case r.over: // it was closed meanwhile
		r.mu.Unlock()
		return
	case r.gone:
		ready, err = Error, os.ErrClosed
	case err != nil:
		ready, err = Error, errors.Unwrap(err)
	case ready == 0:
		r.mu.Unlock()
		r.pollAgain()
		return
	}
	if err != nil {
		r.err = r.failed(err)
	}
	if err != nil || r.lifetime == OneShot {
		r.end()
	}
	if err == ErrManagerClosed {
		r.mu.Unlock()
		return
	}
	r.running = true
	r.mu.Unlock()
	defer r.returned() // also after runtime.Goexit
	r.f(r, ready)
}

// returned goes on when f has returned.
func (r *Registration) returned() {
	r.mu.Lock()
	r.running = false
	r.stopped.Broadcast()
	over := r.over
	r.mu.Unlock()
	if !over {
		r.pollAgain()
	}
}

// pollAgain waits for the next events.
func (r *Registration) pollAgain() {
	if err := r.poll(); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.over {
			r.err = r.failed(err)
			r.end()
		}
	}
}

// poll waits for events. The lock is not held where the logger is told. If r was closed, or its handle, the wait is over at once: the number may be
// another handle's by now.
func (r *Registration) poll() error {
	if err := r.m.prepare(&r.op, r.onPoll); err != nil {
		return errors.Unwrap(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.gone {
		r.op.ask(ErrCanceled)
	}
	r.m.queue(&r.op)
	return nil
}

// end makes r over. The lock is held.
func (r *Registration) end() {
	r.over = true
	r.m.watches.remove(r)
}

// Close ends the registration. If its function is being called, Close waits until that has returned, unless it is called from that very
// function. When Close has returned, the function is not called any more. A registration that is over already, by a Close before, a OneShot's
// call, an error or the manager's Close, is an error that matches os.ErrClosed; that, too, is returned only after the function has.
//
// A signal that waiting uses up, and that comes at the moment of Close, may be used up for nothing.
func (r *Registration) Close() error {
	r.mu.Lock()
	over := r.over
	if !over {
		r.end()
		r.mu.Unlock()
		r.m.Cancel(&r.op)
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	for r.running && !r.m.runs(&r.op) {
		r.stopped.Wait()
	}
	if over {
		return &OpError{Op: "close", Name: r.String(), Err: os.ErrClosed}
	}
	return nil
}

// Err is why the registration has ended by itself: an error met while waiting, os.ErrClosed for a handle that was closed, ErrManagerClosed. It is nil
// as long as the registration goes on, and when it ended as it was meant to, by Close or a OneShot's call.
func (r *Registration) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Handle is the handle that is watched.
func (r *Registration) Handle() Handle { return r.op.req.FD }

// String names the registration: "watch 12 of handle 7 (readable, persistent)". The first number tells it from all others of its manager, also from
// those of handles that had the same number.
func (r *Registration) String() string {
	return "watch " + strconv.FormatUint(r.number, 10) + " of " + r.op.displayName() + " (" + r.events.String() + ", " + r.lifetime.String() + ")"
}

// runs reports whether the caller is in op's callback, which is running.
func (m *Manager) runs(op *Op) bool { return !m.shared || m.workers.runs(op) }

// add enters r into the list of its handle.
func (ws *watches) add(r *Registration) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.on == nil {
		ws.on = map[Handle]*Registration{}
	}
	ws.last++
	r.number = ws.last
	if r.next = ws.on[r.Handle()]; r.next != nil {
		r.next.prev = r
	} else {
		ws.count.Add(1)
	}
	ws.on[r.Handle()] = r
}

func (ws *watches) remove(r *Registration) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if r.next != nil {
		r.next.prev = r.prev
	}
	switch {
	case r.prev != nil:
		r.prev.next = r.next
	case r.next != nil:
		ws.on[r.Handle()] = r.next
	default:
		delete(ws.on, r.Handle())
		ws.count.Add(-1)
	}
	r.next, r.prev = nil, nil
}

// closed ends the registrations that watch h, which is about to be closed: the system may not notice, or keep what h was open.
func (ws *watches) closed(h Handle) {
	if ws.count.Load() == 0 {
		return
	}
	var all []*Registration
	ws.mu.Lock()
	for r := ws.on[h]; r != nil; r = r.next {
		all = append(all, r)
	}
	ws.mu.Unlock()
	for _, r := range all {
		r.mu.Lock()
		r.gone = true
		r.mu.Unlock()
		r.m.Cancel(&r.op)
	}
}
