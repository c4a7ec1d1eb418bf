package uring

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// Pollable implements driver.Driver. In owned mode it is an eventfd that the kernel adds to. The ring itself polls readable
// too, but with DEFER_TASKRUN nobody who sleeps in poll(2) on it is woken when a completion arrives: that only queues work for
// the owner (seen on Linux 6.18).
func (d *Driver) Pollable() (driver.Handle, bool) {
	if !d.owned {
		return driver.Handle(d.ring.FD), true
	}
	if fd := d.tellFD.Load(); fd >= 0 {
		return driver.Handle(fd), true
	}
	if d.own() != nil {
		return 0, false
	}
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) // readable: something may be there already
	if err != nil {
		return 0, false
	}
	if d.ring.RegisterEventFD(fd) != nil {
		unix.Close(fd)
		return 0, false
	}
	d.tellFD.Store(int32(fd))
	return driver.Handle(fd), true
}

// settleTell makes the eventfd behind Pollable, if there is one, readable exactly if there is something left to do. Wait ends
// with it.
//
// It registers the eventfd anew, since the kernel adds to it once and then never again for completions that come of a write to
// another eventfd: it defers these additions, and does not note that one has been made (seen on Linux 6.18, IO_EVENTFD_OP_SIGNAL_BIT).
func (d *Driver) settleTell() {
	fd := int(d.tellFD.Load())
	if fd < 0 {
		return
	}
	d.ring.UnregisterEventFD()
	var count [8]byte
	unix.Read(fd, count[:])
	failed := d.ring.RegisterEventFD(fd) != nil // no memory: stay readable, so that the next Wait tries again
	// What has arrived since the last enter told already, and this was taken back: now it is posted.
	d.ring.Submit(0, ring.EnterGetEvents)
	if failed || d.ring.HasCompletions() || len(d.retries) > 0 || d.woken.Load() {
		d.tell()
	}
}

// tell makes the eventfd behind Pollable readable, if there is one.
func (d *Driver) tell() {
	if fd := d.tellFD.Load(); fd >= 0 {
		one := [8]byte{1}
		unix.Write(int(fd), one[:]) // EAGAIN: the counter is at its limit, and so readable
	}
}
