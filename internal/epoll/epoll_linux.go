// Package epoll waits for descriptors by epoll(7), in the Go runtime's own poller: a wait costs a goroutine but no thread.
package epoll

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
	if e.conn, err = e.file.SyscallConn(); err != nil {
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

// A look costs a system call and a word to the scheduler, being woken a sleep and a start of a thread as well, ten times that or more. So Serve
// looks in vain as often as has been worth while of late, at most maxLooks times, before it sleeps, and others run between its looks.
const (
	maxLooks = 32
	// shortSleep is less than what maxLooks take: the next event would have been found by looking.
	shortSleep = 50 * time.Microsecond
)

// Serve calls handle with what has happened, as it happens, until Close. Events is where the kernel puts it: more at a time don't fit. What is
// registered must be EPOLLET or EPOLLONESHOT.
func (e *Instance) Serve(events []unix.EpollEvent, handle func([]unix.EpollEvent)) {
	looks := 1
	var asleep time.Time
	// All is done in one RawConn.Read, in whose course the runtime's poller forgets nothing that it has seen; each begins by forgetting.
	e.conn.Read(func(uintptr) bool {
		woken := true
		for inVain := 0; inVain < looks; runtime.Gosched() {
			n, err := unix.EpollWait(e.fd, events, 0)
			switch {
			case n > 0:
				if woken { // by this
					looks = nextLooks(looks, time.Since(asleep))
				}
				handle(events[:n])
				inVain = 0
			case err != unix.EINTR:
				inVain++
			}
			woken = false
		}
		asleep = time.Now()
		return false
	})
}

// nextLooks is how often to look in vain after a sleep that something ended.
func nextLooks(looks int, slept time.Duration) int {
	if slept < shortSleep {
		return min(2*looks, maxLooks)
	}
	return max(looks/2, 1)
}

// Close ends the instance with all its registrations.
func (e *Instance) Close() error { return e.file.Close() }
