package iocp

import (
	"time"

	"github.com/ringport/ringport/internal/win32"
)

// tick is as late as a wait for the port may end: the system looks at its timeouts when its clock ticks, every 15.6 ms.
const tick = 16 * time.Millisecond

// alarm ends a wait for the port at the time that is meant, by a wake from a timer of the Go runtime, which uses the system's
// high-resolution ones. Only the last part of a long wait needs it: Wait returns early before that.
type alarm struct {
	timer   *time.Timer
	pending bool
	rung    chan struct{}
}

// set begins a wait, and returns the timeout to give to the system. stop ends it.
func (a *alarm) set(d *Driver, timeout time.Duration) (milliseconds uint32) {
	const longest = 1<<31 - 1
	switch {
	case timeout < 0:
		return win32.Infinite
	case timeout == 0:
		return 0
	case timeout > 4*tick:
		return uint32(min((timeout-2*tick)/time.Millisecond, longest))
	}
	a.pending = true
	if a.timer == nil {
		a.rung = make(chan struct{}, 1)
		a.timer = time.AfterFunc(timeout, func() {
			d.Wake()
			a.rung <- struct{}{}
		})
	} else {
		a.timer.Reset(timeout)
	}
	return win32.Infinite
}

// stop returns when the alarm will not ring any more. If it has, the wake makes a later Wait return early.
func (a *alarm) stop() {
	if a.pending && !a.timer.Stop() {
		<-a.rung
	}
	a.pending = false
}
