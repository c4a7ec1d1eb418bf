package iocp

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// Events of a Poll, as poll(2) has them.
const (
	pollIn  = 0x001
	pollPri = 0x002
	pollOut = 0x004
	pollErr = 0x008
	pollHup = 0x010

	pollRdHup = 0x2000 // Linux: the peer will send no more
)

// startPoll waits for a socket by a poll of AFD's, and for data in a pipe by a read of no bytes, as libuv does: it ends when there is
// something, and takes nothing. Nothing tells when a pipe has room, and from a pipe of messages such a read would take an empty one. A file is
// always ready. What is no file is signalled, see signal_windows.go.
func (d *Driver) startPoll(r *driver.Request) bool {
	d.lock()
	defer d.unlock()
	t, ok := d.target(r.FD)
	if !ok || !isHandle(t.h) {
		r.Err = windows.ERROR_INVALID_HANDLE
		return true
	}
	if !t.known {
		if r.Err = t.identify(); r.Err != nil {
			return true
		}
	}
	switch {
	case t.signals:
		return d.startSignal(r, t)
	case !t.known, t.pipe && !t.attached: // it may wait until it answers
		d.toWorker(r, t, true)
		return false
	case t.disk:
		r.N = int(r.Arg) & (pollIn | pollOut)
	default:
		h, err := d.watched(t, r.Arg)
		if err != nil {
			r.Err = err
			break
		}
		b := d.take(r, submitting, t)
		b.on = h
		d.unlock()
		err = b.watch(r.Arg, 0)
		d.lock()
		return d.issued(b, asErrno(err)) != nil
	}
	return true
}

// execPoll does the same and waits.
func execPoll(d *Driver, b *block) (int, error) {
	if err := b.identify(); err != nil {
		return 0, err
	}
	if !b.known {
		b.describe(b.h)
	}
	switch {
	case b.disk:
		return int(b.r.Arg) & (pollIn | pollOut), nil
	case b.signals:
		return execSignal(d, b)
	}
	h, err := d.watched(b.target, b.r.Arg)
	if err == nil {
		err = b.needEvent()
	}
	if err != nil {
		return 0, err
	}
	b.on = h
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	errno := asErrno(b.watch(b.r.Arg, b.event|1))
	if errno == windows.ERROR_IO_PENDING {
		errno = errnoOf(b.wait())
	}
	n, errno := b.ready(errno)
	return n, errnoError(errno)
}

// watched is the handle of the call that waits for t: the pipe itself, or AFD's. It says so if there is no way to wait for events.
func (d *Driver) watched(t target, events uint32) (windows.Handle, error) {
	switch {
	case t.socket != 0:
		return d.afd.open(d.port)
	case !t.pipe:
		return 0, errNoPoll
	case events&pollOut != 0:
		return 0, errNoPollOut
	case events&pollIn == 0:
		return 0, errNoPollHangUp
	}
	var state uint32
	if err := windows.GetNamedPipeHandleState(t.h, &state, nil, nil, nil, nil, 0); err != nil {
		return 0, err
	}
	if state&windows.PIPE_READMODE_MESSAGE != 0 {
		return 0, errNoPollMessages
	}
	return t.h, nil
}

var (
	errNoPoll         = driver.Unsupported("sockets, files, pipes and what is signalled can be waited for, and this is none of them")
	errNoPollHangUp   = driver.Unsupported("the system tells of a pipe only when there is something to read, a hang-up included")
	errNoPollOut      = driver.Unsupported("the system does not tell when a pipe has room")
	errNoPollMessages = driver.Unsupported("to wait for data would take an empty message from this pipe, which is read in message mode")
)

// watch makes the call, on b.on, to wait for wanted. Rule: b.poll and b.ov are the system's until the completion; the block is pinned.
func (b *block) watch(wanted uint32, event windows.Handle) error {
	b.ov = windows.Overlapped{HEvent: event}
	if b.pipe {
		return win32.ReadFile(b.on, (*byte)(unsafe.Pointer(&b.poll)), 0, nil, &b.ov)
	}
	events := uint32(win32.AFDAbort | win32.AFDLocalClose | win32.AFDConnectFail)
	for _, e := range afdEvents {
		if wanted&e.poll != 0 {
			events |= e.afd
		}
	}
	b.poll = win32.AFDPoll{Timeout: win32.NoTimeout, Handles: 1, Socket: b.socket, Events: events}
	return win32.PollAFD(b.on, &b.poll, &b.ov)
}

var afdEvents = []struct{ poll, afd uint32 }{
	{pollIn, win32.AFDReceive | win32.AFDAccept | win32.AFDDisconnect},
	{pollRdHup, win32.AFDDisconnect},
	{pollPri, win32.AFDReceiveExpedited},
	{pollOut, win32.AFDSend},
}

// ready is what the call's end means. A connection that was reset or refused is ready for everything, as on other systems: whatever is tried
// will not wait.
func (b *block) ready(errno syscall.Errno) (events int, _ syscall.Errno) {
	switch {
	case b.signals && errno == 0:
		return pollIn, 0
	case b.pipe && (errno == windows.ERROR_BROKEN_PIPE || errno == windows.ERROR_PIPE_NOT_CONNECTED):
		return pollHup, 0
	case errno != 0:
		return 0, errno
	case b.pipe:
		return pollIn, 0
	}
	there := b.poll.Events
	if there&win32.AFDLocalClose != 0 {
		return 0, windows.ERROR_INVALID_HANDLE
	}
	for _, e := range afdEvents {
		if there&e.afd != 0 {
			events |= int(e.poll)
		}
	}
	if there&(win32.AFDAbort|win32.AFDConnectFail) != 0 {
		events |= pollIn | pollOut | pollErr | pollHup
	}
	return events & int(b.r.Arg|pollErr|pollHup), 0
}

// afd is the handle that the polls of sockets are sent to. It has a lock of its own in both modes, since workers open it as well.
type afd struct {
	mu sync.Mutex
	h  windows.Handle // 0: not yet
}

func (a *afd) open(port windows.Handle) (windows.Handle, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.h != 0 {
		return a.h, nil
	}
	h, err := win32.OpenAFD()
	if err != nil {
		return 0, err
	}
	if _, err := windows.CreateIoCompletionPort(h, port, keySystem, 0); err != nil {
		windows.CloseHandle(h)
		return 0, err
	}
	a.h = h
	return h, nil
}

func (a *afd) close() {
	if a.h != 0 {
		windows.CloseHandle(a.h)
	}
}
