//go:build !portable

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/epoll"
)

// poller waits for descriptors by epoll(7). Registrations are one-shot and stay, disarmed, when they have fired or their request is cancelled:
// arming one again is one call, and what has become wrong about one is found out when it is used.
type poller struct {
	d       *Driver
	epoll   *epoll.Instance
	started bool
	ended   chan struct{}
}

func (p *poller) open(d *Driver) (err error) {
	p.d, p.ended = d, make(chan struct{})
	p.epoll, err = epoll.Open()
	return err
}

// arm makes the poller report fd once when it is ready for some of events, instead of what it was armed for. EPERM says that
// fd has no readiness. The driver's lock is held.
func (p *poller) arm(fd int, events uint32) error {
	if !p.started {
		p.started = true
		go p.run()
	}
	events = events&^(unix.EPOLLEXCLUSIVE|unix.EPOLLET) | unix.EPOLLONESHOT
	err := p.epoll.Control(unix.EPOLL_CTL_MOD, fd, events)
	if err == unix.ENOENT {
		err = p.epoll.Control(unix.EPOLL_CTL_ADD, fd, events)
	}
	return err
}

// disarm may leave a report that is not wanted any more: Driver.ready finds nobody waiting.
func (p *poller) disarm() {}

func (p *poller) run() {
	defer close(p.ended)
	p.epoll.Serve(func(events []unix.EpollEvent) {
		for _, e := range events {
			p.d.ready(int(e.Fd), e.Events)
		}
	})
}

// threads is how many threads the poller blocks.
func (p *poller) threads() int { return 0 }

func (p *poller) close() {
	p.epoll.Close()
	if p.started {
		<-p.ended
	}
}
