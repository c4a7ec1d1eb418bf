//go:build unix

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// execPoll blocks until fd is ready for what r wants.
func execPoll(r *driver.Request, fd, _ int) (int, error) {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: int16(eventsOf(r))}}
	if _, err := pollSystem(fds[:], -1); err != nil {
		return 0, err
	}
	return pollResult(uint32(uint16(fds[0].Revents)))
}

// pollResult is what a Poll answers to events.
func pollResult(events uint32) (int, error) {
	if events&unix.POLLNVAL != 0 {
		return 0, unix.EBADF
	}
	return int(events), nil
}

// pollNow says which of events, and of those reported unasked, fd is ready for at this moment. It never blocks.
func pollNow(fd int, events uint32) uint32 {
	if fd < 0 {
		return unix.POLLNVAL // poll(2) passes over negative ones
	}
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: int16(events)}}
	for {
		switch _, err := pollSystem(fds[:], 0); err {
		case unix.EINTR:
		case nil:
			return uint32(uint16(fds[0].Revents))
		default:
			return unix.POLLERR // out of memory: the call itself will tell
		}
	}
}

// startPoll answers at once what is ready, and waits for the rest.
func (d *Driver) startPoll(r *driver.Request) (done bool) {
	fd := d.descriptor(r)
	if events := pollNow(fd, eventsOf(r)); events != 0 {
		n, err := pollResult(events)
		conclude(r, n, err)
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.watchOn(fd)
	w.enlist(r, false)
	d.arm(w)
	d.cancelAsked(r)
	return false
}

// answer ends the polls of w that are ready, and has the ready splices continued. The poller's report is not enough: it
// says neither which of them is meant, nor for certain that it is still so. The lock is held.
func (d *Driver) answer(w *watch) {
	var next *driver.Request
	for r := w.list.head; r != nil; r = next {
		next = r.State.Next
		if inLine(r.Kind) {
			continue
		}
		events := pollNow(w.fd, eventsOf(r))
		if events == 0 {
			continue
		}
		w.delist(r)
		if r.Kind != driver.Poll {
			d.enqueue(r)
			continue
		}
		n, err := pollResult(events)
		conclude(r, n, err)
		d.deliver(r)
	}
}
