// Package epoll waits for descriptors by epoll(7), in the Go runtime's own poller: a wait costs a goroutine but no thread.
package epoll

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/clock"
)

// Instance is an epoll instance. Serve is for one goroutine, once.
type Instance struct {
	fd   int
	file *os.File
	conn syscall.RawConn
}

// Open makes an instance. See epoll_create1(2).
func Open() (*Instance, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// os.NewFile hands only non-blocking descriptors to the runtime's poller. The flag means nothing to epoll.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	e := &Instance{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	// Where the runtime's poller has no room os.NewFile says nothing, but then there are no deadlines either.
	if err = e.file.SetReadDeadline(time.Time{}); err == nil {
		e.conn, err = e.file.SyscallConn()
	}
	if err != nil {
		e.file.Close()
		return nil, err
	}
	return e, nil
}

// Control adds, changes or removes a registration: op is EPOLL_CTL_ADD, _MOD or _DEL. It is for any goroutine, but not after Close. See
// epoll_ctl(2).
func (e *Instance) Control(op, fd int, events uint32) error {
	return unix.EpollCtl(e.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// roomAtFirst is for how many events there is room at first. It doubles when a look fills it.
const roomAtFirst = 128

// Serve calls handle with what has happened, as it happens, until Close. What is registered must be EPOLLET or EPOLLONESHOT.
func (e *Instance) Serve(handle func([]unix.EpollEvent)) {
	events := make([]unix.EpollEvent, roomAtFirst)
	var s stay
	// All is done in one RawConn.Read, in whose course the runtime's poller forgets nothing that it has seen; each begins by forgetting.
	e.conn.Read(func(uintptr) bool {
		s.began = clock.Nanos()
		for {
			n, err := unix.EpollWait(e.fd, events, 0)
			if n > 0 {
				s.found(clock.Nanos())
				handle(events[:n])
			}
			runtime.Gosched()
			now := clock.Nanos()
			if n > 0 {
				s.last = now
			}
			switch {
			case err == unix.EINTR:
			case n == len(events):
				events = make([]unix.EpollEvent, 2*n) // more may be there, of which nothing would tell
			case s.over(now, n <= 0):
				return false
			}
		}
	})
}

// A look costs a system call and a word to the scheduler; to sleep and be woken ten times that or more, a thread's start among it, and what then
// comes first comes alone. So Serve stays and looks again for a while if something came lately, and others run between its looks.
//
// But who waits in the runtime's poller is seen to only when nothing is left to run, or by the runtime's monitor after 10 ms, and who closes
// the instance waits as well. So a stay has an end whatever comes, and begins again as soon as the runtime's poller has been asked.
const (
	lingerNanos = int64(50 * time.Microsecond)
	stayNanos   = int64(time.Millisecond)
)

// stay is from one sleep to the next.
type stay struct {
	began   int64 // clock.Nanos
	last    int64 // when what was last found had been handled
	lingers bool  // what was last found came less than lingerNanos after what was before it
}

// found is when a look has found something.
func (s *stay) found(now int64) { s.lingers = now-s.last < lingerNanos }

// over reports whether to sleep, after a look that was in vain or not.
func (s *stay) over(now int64, inVain bool) bool {
	return now-s.began >= stayNanos || inVain && (!s.lingers || now-s.last >= lingerNanos)
}

// Close ends the instance with all its registrations.
func (e *Instance) Close() error { return e.file.Close() }
