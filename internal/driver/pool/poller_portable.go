//go:build unix && (!linux || portable)

package pool

import "golang.org/x/sys/unix"

// poller waits for descriptors by poll(2), on a thread that it blocks while there is something to wait for and that ends
// with it. A change to what is watched interrupts the call.
type poller struct {
	d                 *Driver
	readEnd, writeEnd int // the event that interrupts
	started           bool
	polling           bool // in the call, and not yet interrupted
	fds               []unix.PollFd
}

func (p *poller) open(d *Driver) (err error) {
	p.d = d
	p.readEnd, p.writeEnd, err = openEvent()
	return err
}

// arm makes the poller report fd once when it is ready for some of events, which are in its watch when the lock, which is
// held, is free.
func (p *poller) arm(fd int, events uint32) error {
	if !p.started {
		p.started = true
		go p.run()
	}
	p.interrupt()
	return nil
}

// disarm makes the poller look anew at what it has to wait for. The lock is held.
func (p *poller) disarm() { p.interrupt() }

func (p *poller) interrupt() {
	if p.polling {
		p.polling = false
		event := [8]byte{1}
		ignoringEINTR(func() error { _, err := unix.Write(p.writeEnd, event[:]); return err })
	}
}

func (p *poller) run() {
	for p.prepare() {
		_, err := pollSystem(p.fds, -1)
		p.d.mu.Lock()
		p.polling = false
		p.d.mu.Unlock()
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			p.fail(err)
			continue
		}
		if p.fds[0].Revents != 0 {
			var event [8]byte
			ignoringEINTR(func() error { _, err := unix.Read(p.readEnd, event[:]); return err })
		}
		for _, f := range p.fds[1:] {
			if f.Revents != 0 {
				p.d.ready(int(f.Fd), uint32(uint16(f.Revents)))
			}
		}
	}
}

// prepare lists what to wait for. With nothing it ends the poller and reports false.
func (p *poller) prepare() bool {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.fds = append(p.fds[:0], unix.PollFd{Fd: int32(p.readEnd), Events: unix.POLLIN})
	for fd, w := range p.d.watches {
		if w.armed != 0 {
			p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: int16(w.armed)})
		}
	}
	if len(p.fds) == 1 {
		p.started = false
		p.d.ended.Broadcast()
		return false
	}
	p.polling = true
	return true
}

// fail ends all that wait: the system has no memory for a poll.
func (p *poller) fail(err error) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	for _, w := range p.d.watches {
		w.armed = 0
		p.d.unpollable(w, err)
	}
}

// threads is how many threads the poller blocks.
func (p *poller) threads() int {
	if p.started {
		return 1
	}
	return 0
}

func (p *poller) close() {
	p.d.mu.Lock()
	for p.started {
		p.d.ended.Wait()
	}
	p.d.mu.Unlock()
	unix.Close(p.readEnd)
	if p.writeEnd != p.readEnd {
		unix.Close(p.writeEnd)
	}
}
