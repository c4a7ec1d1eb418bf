package iocp

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// A packet may never come: a handle that was attached was closed past the driver, and the next handle of its number, which is on no port or another's,
// was taken for it. What is asked to end must end all the same. Rule: when the status in an OVERLAPPED is not STATUS_PENDING any more, the system
// has written its last word there, and is done with the buffers (MSDN, HasOverlappedIoCompleted). The packet is on its way then, if there is one;
// so the request is brought back by the status alone only after another while, and the block stays in limbo, where a packet that is as late as that
// finds no request.

// overdue is how long the answer to a cancel may take before the driver looks for itself.
const overdue = 50 * time.Millisecond

// lookout makes Wait look at what has not answered. It belongs to the driver's lock, but for what its timer does.
type lookout struct {
	timer *time.Timer
	armed bool
	due   atomic.Bool
	rung  chan struct{} // the timer has done everything
}

func (l *lookout) arm(d *Driver) {
	l.armed = true
	if l.timer != nil {
		l.timer.Reset(overdue)
		return
	}
	l.rung = make(chan struct{}, 1)
	l.timer = time.AfterFunc(overdue, func() {
		l.due.Store(true)
		d.Wake()
		l.rung <- struct{}{}
	})
}

// end returns when the timer will do nothing any more.
func (l *lookout) end() {
	if l.armed && !l.timer.Stop() {
		<-l.rung
	}
	l.armed = false
}

// expect has b, which is pending and about to be cancelled, looked at if no packet comes. The lock is held, as in all that follow.
func (d *Driver) expect(b *block) {
	if b.unanswered {
		return
	}
	b.unanswered, b.silent = true, false
	d.unanswered.push(b)
	if !d.lookout.armed {
		d.lookout.arm(d)
	}
}

// answered ends what expect began.
func (d *Driver) answered(b *block) {
	if b.unanswered {
		d.unanswered.remove(b)
		b.unanswered = false
	}
}

// look brings back, by way of back, what is over and has had no packet since the last look.
func (d *Driver) look(back func(*driver.Request)) {
	if !d.lookout.due.Swap(false) {
		return
	}
	<-d.lookout.rung
	d.lookout.armed = false
	for b := d.unanswered.head; b != nil; {
		next := b.next
		switch status := b.status(); {
		case status == windows.STATUS_PENDING: // Wine's TransmitFile goes on if a cancel comes between two of its steps
			b.cancelIO(b.on)
		case !b.silent:
			b.silent = true
		default:
			d.answer(b, b.errnoOf(status), int(b.ov.InternalHigh))
			b.where = limbo
			back(d.detach(b))
		}
		b = next
	}
	if d.unanswered.head != nil {
		d.lookout.arm(d)
	}
}
