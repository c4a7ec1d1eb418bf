package ringport

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/driver"
)

// submitEvery is after how many callbacks that follow each other what they have started is submitted. Left to the next wait, all
// that a large batch starts would reach the device, or the peers, together, and come back together, while there was nothing to do meanwhile
// (docs/decisions.md). Shots are what sockets receive: an answer costs the kernel more than a read of a file.
const (
	submitEvery      = 4
	submitEveryShots = 8
)

// loopState is a caller-driven manager's loop. Its owner alone touches it, but for woken.
type loopState struct {
	woken    atomic.Bool // Wake was called, and no Step has returned since
	worked   uint64      // counts what Steps wait for
	closed   bool        // Close was called
	released bool        // Close is through: the driver is no more
	live     int64
	waits    bool // in the driver's Wait, where start functions run (Overlapped)
	shots    int  // calls of functions of multishot operations

	// batch[next:n] came back and waits for its callback. The cursor is here and not in a variable of step, so that a
	// callback may step (Do, Close): the inner step goes on where the outer one stands.
	batch   []*driver.Request
	next, n int

	inline fifo[*Op]    // back without a completion
	calls  fifo[*Op]    // delivered, callbacks to run
	due    fifo[func()] // of expired timeouts and from posted

	// The context whose end wakes the loop, by its Done channel, and how to end that. It is kept from one Do to the next, which
	// often has the same.
	watched <-chan struct{}
	unwatch func() bool
}

func (l *loopState) init() { l.batch = make([]*driver.Request, batchStart) }

// Step is one round of a caller-driven manager: it runs expired timeouts, submits what is queued, waits until something
// completes, a timeout expires, Wake is called or limit has passed (negative: no limit, zero: no wait), and runs the callbacks
// of what completed. It returns how many callbacks and timeouts it ran; none after a Wake. ErrNotCallerDriven on a threaded
// manager, [ErrNotOwner] on another goroutine than the owner's (io_uring alone can tell), ErrManagerClosed.
func (m *Manager) Step(limit time.Duration) (ran int, err error) {
	if m.shared {
		return 0, ErrNotCallerDriven
	}
	l := &m.loop
	if l.closed {
		return 0, ErrManagerClosed
	}
	m.wakeAtEnd(context.Background())
	var end int64
	if limit > 0 {
		if end = m.timeouts.now() + int64(limit); end < 0 { // farther than the clock goes
			limit = -1
		}
	}
	for {
		if l.woken.Load() { // during a Do, which has taken the driver's wake
			limit = 0
		}
		worked := l.worked
		ran, err := m.round(limit)
		if err != nil {
			return ran, err
		}
		// The driver's wait also ends for a signal, at the end of a Do's context, shortly before its time, and so on.
		if l.woken.Load() && l.woken.Swap(false) {
			m.hasWorked()
		}
		if ran > 0 || l.worked != worked || limit == 0 {
			return ran, nil
		}
		if limit > 0 {
			if limit = time.Duration(end - m.timeouts.now()); limit <= 0 {
				return 0, nil
			}
		}
	}
}

// round waits once. It may return early.
func (m *Manager) round(limit time.Duration) (ran int, err error) {
	l := &m.loop
	ran = m.runOwed()
	wait := m.takeDue()
	ran += m.runDue()
	switch {
	case l.released: // by a callback
		return ran, nil
	case ran > 0:
		limit = 0 // only look: the caller may have something new to do
	case limit < 0 || wait >= 0 && wait < limit:
		limit = wait
	}
	outer := l.waits // a start function may step
	l.waits = true
	n, err := m.drv.Wait(l.batch, limit)
	l.waits = outer
	if err != nil {
		return ran, m.ownerError(err)
	}
	l.next, l.n = 0, n
	full := n == len(l.batch)
	ran += m.runOwed()
	if full && l.next == l.n && len(l.batch) < batchMax {
		l.batch = make([]*driver.Request, 2*len(l.batch))
		l.next, l.n = 0, 0
	}
	m.takeDue()
	ran += m.runDue()
	if n > 0 || ran > 0 {
		m.hasWorked()
	}
	return ran, nil
}

// hasWorked notes that something has happened that a Step waits for. If this was in a start function, the wait that it is called in ends, to look again.
func (m *Manager) hasWorked() {
	m.loop.worked++
	if m.loop.waits {
		m.poke()
	}
}

// takeDue moves what is due to the owner's list, and returns how long it is to the next timeout, negative if there is none.
func (m *Manager) takeDue() (next time.Duration) {
	m.posted.take(&m.loop.due)
	return m.timeouts.takeDue(&m.loop.due)
}

// runOwed delivers what came back and runs its callbacks.
func (m *Manager) runOwed() (ran int) {
	l := &m.loop
	for l.next < l.n {
		op := l.batch[l.next].Owner.(*Op)
		l.next++
		if op.multi != nil {
			m.take(op)
			ran += m.callShots(op)
			continue
		}
		if op.chain != nil {
			if op.callback == nil {
				ran++
			}
			m.deliver(op, &l.calls)
			continue
		}
		m.claim(op)
		if op.callback != nil {
			m.callBack(op)
		}
		if ran++; ran%submitEvery == 0 && !l.released {
			m.drv.Flush() // an error is met again, and reported, by the next Wait
		}
	}
	for {
		if op, ok := l.calls.pop(); ok {
			m.callBack(op)
			ran++
		} else if op, ok := l.inline.pop(); ok {
			if op.callback == nil {
				ran++
			}
			m.deliver(op, &l.calls)
		} else {
			return ran
		}
	}
}

func (m *Manager) runDue() (ran int) {
	for f, ok := m.loop.due.pop(); ok; f, ok = m.loop.due.pop() {
		f()
		ran++
	}
	return ran
}

// NextTimeout is how long it is until the next timeout expires, zero if one has, for a loop that waits on [Manager.Pollable].
// ok is false if none is pending.
func (m *Manager) NextTimeout() (d time.Duration, ok bool) {
	if l := &m.loop; l.next < l.n || !l.inline.empty() || !l.calls.empty() || !l.due.empty() {
		return 0, true
	}
	return m.timeouts.next()
}

// stepUntil steps until op is done (Do in caller-driven mode). When ctx ends, the rest of op's chain is cancelled with it. So it is if nobody waits
// any more, since a callback of a step panics or calls runtime.Goexit.
func (m *Manager) stepUntil(ctx context.Context, op *Op, rest ...*Op) error {
	asked, returns := false, false
	defer func() {
		if returns {
			return
		}
		for _, op := range append([]*Op{op}, rest...) {
			m.cancelFor(op, ErrCanceled)
		}
	}()
	for op.state == opActive {
		m.wakeAtEnd(ctx) // also when a callback's Do has watched another
		if !asked && ctx.Err() != nil {
			asked = true
			cause := ctxend.Cause(ctx)
			m.cancelFor(op, cause)
			for _, next := range rest {
				m.cancelFor(next, cause)
			}
		}
		if _, err := m.round(-1); err != nil {
			returns = true
			return op.fail(err)
		}
	}
	returns = true
	return nil
}

// wakeAtEnd makes the end of ctx wake the loop, and that of no other context (caller-driven mode).
func (m *Manager) wakeAtEnd(ctx context.Context) {
	l := &m.loop
	done := ctx.Done()
	if done == l.watched {
		return
	}
	if l.watched != nil {
		l.unwatch()
	}
	if l.watched, l.unwatch = done, nil; done != nil {
		l.unwatch = context.AfterFunc(ctx, m.poke)
	}
}

// closeOwned is Close in caller-driven mode.
func (m *Manager) closeOwned() error {
	if m.loop.closed {
		return ErrManagerClosed
	}
	if _, err := m.drv.Wait(nil, 0); err != nil { // on the wrong goroutine: nothing has changed, the owner can still do it
		return m.ownerError(err)
	}
	m.loop.closed = true
	m.closeBegins()
	m.wakeAtEnd(context.Background())
	m.loop.due = fifo[func()]{}
	consoles.end(m)
	m.timeouts.stopAll()
	m.drv.CancelAll() // nothing reaches the driver any more
	for l := &m.loop; l.live > 0 || l.next < l.n || !l.calls.empty() || !l.inline.empty(); {
		if _, err := m.round(-1); err != nil {
			m.loop.closed = false
			return err
		}
	}
	// Wakes under way hold the driver open; each leaves at once.
	if m.live.Add(closedBit) != closedBit {
		<-m.drained
	}
	m.event("close: operations are over")
	m.loop.released = true
	return m.release()
}
