package arrival

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/epoll"
)

// Poller watches sockets. The zero value has opened nothing yet.
type Poller struct {
	mu      sync.Mutex      // over what follows, but for woken
	epoll   *epoll.Instance // nil: not open
	closed  bool
	sockets []*Socket // by descriptor
	ended   chan struct{}

	woken []*Socket // wake's
}

// events that are waited for. What is urgent is asked for because a receive stops short of it.
const events = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET&(1<<32-1)

const signs = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR | unix.EPOLLPRI

// Add registers the socket fd, until Remove. The error is the system's: there is no room for a registration, for instance.
func (p *Poller) Add(fd int) (*Socket, error) {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, os.ErrClosed
	}
	if p.epoll == nil {
		if err := p.open(); err != nil {
			return nil, err
		}
	}
	for len(p.sockets) <= fd {
		p.sockets = append(p.sockets, nil)
	}
	s := newSocket(protocol == unix.IPPROTO_TCP)
	if err := p.epoll.Control(unix.EPOLL_CTL_ADD, fd, events); err != nil {
		return nil, err
	}
	p.sockets[fd] = s
	return s, nil
}

// Remove ends the registration of fd. It comes before fd is closed: the kernel would keep it as long as there is a duplicate.
func (p *Poller) Remove(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || fd >= len(p.sockets) || p.sockets[fd] == nil {
		return
	}
	p.sockets[fd] = nil
	p.epoll.Control(unix.EPOLL_CTL_DEL, fd, 0)
}

// End ends the waits of all readers.
func (p *Poller) End(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sockets {
		if s != nil {
			s.End(cause)
		}
	}
}

// Waiting is how many readers wait.
func (p *Poller) Waiting() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sockets {
		if s != nil && s.Waits() {
			n++
		}
	}
	return n
}

// Close ends all registrations. Nobody may be waiting any more, and whoever begins to later must End that himself: no edge does.
func (p *Poller) Close() {
	p.mu.Lock()
	p.closed, p.sockets = true, nil
	e := p.epoll
	p.mu.Unlock()
	if e != nil {
		e.Close()
		<-p.ended
	}
}

func (p *Poller) open() error {
	e, err := epoll.Open()
	if err != nil {
		return err
	}
	p.epoll, p.ended = e, make(chan struct{})
	go p.run(e)
	return nil
}

// run wakes readers until Close.
func (p *Poller) run(e *epoll.Instance) {
	defer close(p.ended)
	e.Serve(p.wake)
}

func (p *Poller) wake(events []unix.EpollEvent) {
	p.mu.Lock()
	for i := range events {
		// The socket may be removed by now, and the descriptor another's: an edge too many does no harm.
		if fd := int(events[i].Fd); fd < len(p.sockets) && p.sockets[fd] != nil {
			s := p.sockets[fd]
			if events[i].Events&signs != 0 {
				s.signs.Store(true)
			}
			p.woken = append(p.woken, s)
		}
	}
	p.mu.Unlock()
	for _, s := range p.woken {
		s.arrive()
	}
	clear(p.woken)
	p.woken = p.woken[:0]
}
