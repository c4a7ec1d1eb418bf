//go:build unix

package pool

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// delivery is the way back: requests that are done, and the goroutine that waits for them. Driver.mu covers it.
type delivery struct {
	done    list
	woken   bool // Wake was called since Wait last returned
	waiting bool // a goroutine sleeps on signal, and has not been signalled
	signal  chan struct{}
	timer   *time.Timer // the waiter's

	// The pollable descriptor and the end to write to, -1 until somebody asks for it. It is kept readable exactly while Wait
	// has something to return.
	readEnd, writeEnd int
	readable          bool
}

func (v *delivery) init() {
	v.signal = make(chan struct{}, 1)
	v.readEnd, v.writeEnd = -1, -1
}

func (v *delivery) close() {
	if v.readEnd < 0 {
		return
	}
	unix.Close(v.readEnd)
	if v.writeEnd != v.readEnd {
		unix.Close(v.writeEnd)
	}
}

// deliver makes r ready for Wait. The lock is held, r is in no list.
func (d *Driver) deliver(r *driver.Request) {
	moveTo(r, done)
	d.delivery.done.push(r)
	d.announce()
}

// announce tells the waiter, and whoever polls, that Wait has something to return. The lock is held.
func (v *delivery) announce() {
	if v.waiting {
		v.waiting = false
		v.signal <- struct{}{} // never blocks: one signal for each time that waiting was set
	}
	v.updatePollable()
}

// Wait implements driver.Driver.
func (d *Driver) Wait(batch []*driver.Request, timeout time.Duration) (int, error) {
	if d.owned {
		d.Flush()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if timeout != 0 && d.delivery.done.empty() && !d.woken {
		d.waiting = true
		d.mu.Unlock()
		d.sleep(timeout)
		d.mu.Lock()
		if d.waiting { // the time has passed
			d.waiting = false
		} else if timeout > 0 {
			select {
			case <-d.signal: // the time passed, and then a signal came before we had the lock
			default:
			}
		}
	}
	d.woken = false
	n := 0
	for n < len(batch) && !d.delivery.done.empty() {
		r := d.delivery.done.pop()
		r.State = driver.Private{}
		d.letGo(r)
		batch[n] = r
		n++
	}
	d.updatePollable()
	return n, nil
}

// sleep returns after a signal, or when timeout has passed.
func (v *delivery) sleep(timeout time.Duration) {
	if timeout < 0 {
		<-v.signal
		return
	}
	if v.timer == nil {
		v.timer = time.NewTimer(timeout)
	} else {
		v.timer.Reset(timeout)
	}
	select {
	case <-v.signal:
		v.timer.Stop()
	case <-v.timer.C:
	}
}

// Wake implements driver.Driver.
func (d *Driver) Wake() {
	d.mu.Lock()
	if !d.woken {
		d.woken = true
		d.announce()
	}
	d.mu.Unlock()
}

// Pollable implements driver.Driver: an eventfd, or a pipe where the system has none. There is none if the descriptor table
// is full.
func (d *Driver) Pollable() (driver.Handle, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readEnd < 0 {
		r, w, err := openEvent()
		if err != nil {
			return 0, false
		}
		d.readEnd, d.writeEnd = r, w
		d.updatePollable()
	}
	return driver.Handle(d.readEnd), true
}

// updatePollable makes the pollable descriptor, if anybody has asked for it, tell the truth. Neither call blocks.
func (v *delivery) updatePollable() {
	ready := v.woken || !v.done.empty()
	if v.readEnd < 0 || ready == v.readable {
		return
	}
	v.readable = ready
	event := [8]byte{1} // an eventfd takes and gives eight bytes
	if ready {
		ignoringEINTR(func() error { _, err := unix.Write(v.writeEnd, event[:]); return err })
	} else {
		ignoringEINTR(func() error { _, err := unix.Read(v.readEnd, event[:]); return err })
	}
}

func ignoringEINTR(call func() error) {
	for call() == unix.EINTR {
	}
}
