//go:build !portable

package pool

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for descriptors by epoll(7). The epoll descriptor sits in the Go runtime's own poller, so that waiting costs a
// goroutine but no thread. Registrations are one-shot and stay, disarmed, when they have fired or their request is cancelled:
// arming one again is one call, and what has become wrong about one is found out when it is used.
type poller struct {
	d       *Driver
	fd      int
	file    *os.File
	conn    syscall.RawConn
	started bool
	ended   chan struct{}
	events  [128]unix.EpollEvent
	n       int
}

func (p *poller) open(d *Driver) error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	// os.NewFile hands only non-blocking descriptors to the runtime's poller. The flag means nothing to epoll.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	p.d, p.fd, p.file, p.ended = d, fd, os.NewFile(uintptr(fd), "epoll"), make(chan struct{})
	p.conn, err = p.file.SyscallConn()
	return err
}

// arm makes the poller report fd once when it is ready for some of events, instead of what it was armed for. EPERM says that
// fd has no readiness. The driver's lock is held.
func (p *poller) arm(fd int, events uint32) error {
	if !p.started {
		p.started = true
		go p.run()
	}
	e := unix.EpollEvent{Events: events&^(unix.EPOLLEXCLUSIVE|unix.EPOLLET) | unix.EPOLLONESHOT, Fd: int32(fd)}
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &e)
	if err == unix.ENOENT {
		err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e)
	}
	return err
}

// disarm may leave a report that is not wanted any more: Driver.ready finds nobody waiting.
func (p *poller) disarm() {}

func (p *poller) run() {
	defer close(p.ended)
	look := func(uintptr) bool {
		n, err := unix.EpollWait(p.fd, p.events[:], 0)
		p.n = max(n, 0)
		return p.n > 0 || err == unix.EINTR
	}
	for p.conn.Read(look) == nil {
		for _, e := range p.events[:p.n] {
			p.d.ready(int(e.Fd), e.Events)
		}
	}
}

// threads is how many threads the poller blocks.
func (p *poller) threads() int { return 0 }

func (p *poller) close() {
	p.file.Close()
	if p.started {
		<-p.ended
	}
}
