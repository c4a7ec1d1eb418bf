package arrival

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Poller watches sockets. The zero value has opened nothing yet. Its epoll descriptor sits in the Go runtime's own poller, so that waiting
// costs a goroutine but no thread.
type Poller struct {
	mu      sync.Mutex // over what follows, but for what the goroutine of run alone uses
	fd      int
	file    *os.File // nil: not open
	closed  bool
	sockets []*Socket // by descriptor
	ended   chan struct{}

	conn   syscall.RawConn
	events [256]unix.EpollEvent
	woken  []*Socket
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
	if p.file == nil {
		if err := p.open(); err != nil {
			return nil, err
		}
	}
	for len(p.sockets) <= fd {
		p.sockets = append(p.sockets, nil)
	}
	s := newSocket(protocol == unix.IPPROTO_TCP)
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
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
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
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

// Close ends all registrations. Nobody may be waiting any more, and whoever waits later is woken by nothing.
func (p *Poller) Close() {
	p.mu.Lock()
	p.closed, p.sockets = true, nil
	file := p.file
	p.mu.Unlock()
	if file != nil {
		file.Close()
		<-p.ended
	}
}

func (p *Poller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	// os.NewFile hands only non-blocking descriptors to the runtime's poller. The flag means nothing to epoll.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	file := os.NewFile(uintptr(fd), "epoll")
	if p.conn, err = file.SyscallConn(); err != nil {
		file.Close()
		return err
	}
	p.fd, p.file, p.ended = fd, file, make(chan struct{})
	go p.run()
	return nil
}

// run wakes readers until Close.
func (p *Poller) run() {
	defer close(p.ended)
	n := 0
	look := func(uintptr) bool {
		got, err := unix.EpollWait(p.fd, p.events[:], 0)
		n = max(got, 0)
		return n > 0 || err == unix.EINTR
	}
	for p.conn.Read(look) == nil {
		p.wake(p.events[:n])
		runtime.Gosched() // those that are woken run first, and more arrives meanwhile: fewer looks, and fewer in vain
	}
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
