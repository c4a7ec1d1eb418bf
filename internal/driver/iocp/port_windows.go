package iocp

import (
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// The completion keys say who posted a packet.
const (
	keySystem uintptr = iota + 1 // the system: an overlapped call is done
	keyPosted                    // this driver, with the address of a block
	keyWake
)

// post brings b, whose result is set, back through the port. It reports false if the system has no memory for a packet.
func (d *Driver) post(b *block) bool {
	return windows.PostQueuedCompletionStatus(d.port, 0, keyPosted, &b.ov) == nil
}

// Wake implements driver.Driver. There is at most one wake in the port.
func (d *Driver) Wake() {
	if d.woken.CompareAndSwap(false, true) {
		for windows.PostQueuedCompletionStatus(d.port, 0, keyWake, nil) != nil {
			time.Sleep(time.Millisecond) // there is no memory for a packet; a wake must not be lost
		}
	}
}

// Wait implements driver.Driver.
func (d *Driver) Wait(batch []*driver.Request, timeout time.Duration) (int, error) {
	if d.owned {
		if err := d.Flush(); err != nil {
			return 0, err
		}
	}
	n := d.takeDone(batch)
	if n > 0 {
		if n == len(batch) {
			return n, nil
		}
		timeout = 0
	}
	count := max(1, len(batch)-n)
	if len(d.entries) < count {
		d.entries = make([]win32.OverlappedEntry, count)
	}
	var removed uint32
	if timeout != 0 && !d.owned {
		// Whom the last packets woke runs on this processor first, and may start what the next packet is for. In the system's wait the
		// processor would be taken from us only after a while, by a thread that had to be woken for it: 1.3 times the ping-pong's time.
		runtime.Gosched()
	}
	ms := d.alarm.set(d, timeout)
	errno := win32.GetQueuedCompletionStatusEx(d.port, &d.entries[0], uint32(count), &removed, ms)
	d.alarm.stop()
	switch errno {
	case 0:
	case syscall.Errno(windows.WAIT_TIMEOUT):
		return n, nil
	default:
		return n, errno
	}
	d.lock()
	defer d.unlock()
	for _, e := range d.entries[:removed] {
		switch r := d.packet(e); {
		case r == nil:
		case n < len(batch):
			batch[n] = r
			n++
		default:
			d.keep(r)
		}
	}
	d.look(func(r *driver.Request) {
		if n < len(batch) {
			batch[n] = r
			n++
		} else {
			d.keep(r)
		}
	})
	return n, nil
}

// keep leaves r, which is back without a packet, to the next Wait. Whoever waits for the port is told. The lock is held.
func (d *Driver) keep(r *driver.Request) {
	d.done = append(d.done, r)
	if d.polled {
		d.Wake()
	}
}

// Pollable implements driver.Driver: it is the port, which the waiting functions take for signaled while it has a packet.
func (d *Driver) Pollable() (driver.Handle, bool) {
	if !d.polled && len(d.done) > 0 { // nobody was told
		d.Wake()
	}
	d.polled = portsCanBeWaitedFor()
	return driver.Handle(d.port), d.polled
}

// portsCanBeWaitedFor tries it. MSDN does not have ports in its list of objects that can be waited for, though they always have been: the kernel's
// object is a queue (KQUEUE), which begins with what every such object begins with.
var portsCanBeWaitedFor = sync.OnceValue(func() bool {
	port, err := windows.CreateIoCompletionPort(windows.InvalidHandle, 0, 0, 0)
	if err != nil {
		return false
	}
	defer windows.CloseHandle(port)
	before, err := windows.WaitForSingleObject(port, 0)
	if err != nil || before != uint32(windows.WAIT_TIMEOUT) || windows.PostQueuedCompletionStatus(port, 0, 0, nil) != nil {
		return false
	}
	for range 2 { // waiting takes nothing away
		if with, err := windows.WaitForSingleObject(port, 0); err != nil || with != windows.WAIT_OBJECT_0 {
			return false
		}
	}
	var n uint32
	var key uintptr
	var o *windows.Overlapped
	if windows.GetQueuedCompletionStatus(port, &n, &key, &o, 0) != nil {
		return false
	}
	after, err := windows.WaitForSingleObject(port, 0)
	return err == nil && after == uint32(windows.WAIT_TIMEOUT)
})

// takeDone stores in batch what is back without a packet.
func (d *Driver) takeDone(batch []*driver.Request) int {
	d.lock()
	defer d.unlock()
	n := copy(batch, d.done)
	left := copy(d.done, d.done[n:])
	clear(d.done[left:])
	d.done = d.done[:left]
	return n
}

// packet takes in one packet, and returns the request that it brings back, if it does.
func (d *Driver) packet(e win32.OverlappedEntry) *driver.Request {
	if e.Key == keyWake {
		d.woken.Store(false)
		return nil
	}
	b := d.byAddress[e.Overlapped]
	if b == nil {
		d.foreign.Add(1) // somebody's own call on a handle of this port
		return nil
	}
	if e.Key == keyPosted {
		switch b.where {
		case onWorker:
			d.fromWorker(b)
		case posted:
		default:
			d.late.Add(1)
			return nil
		}
		return d.release(b)
	}
	status := b.status()
	if status == windows.STATUS_PENDING { // Wine leaves it so where a call failed at once, and has the answer here alone
		status = windows.NTStatus(e.Internal)
	}
	switch b.where {
	case submitting:
		b.early, b.earlyStatus, b.earlyBytes = true, status, e.Bytes
		return nil
	case pending:
		return d.conclude(b, b.errnoOf(status), int(e.Bytes))
	case limbo: // a call has one packet at most
		if b.owed != nil {
			b.owed = nil
			d.owed--
		}
		d.free(b)
	}
	d.late.Add(1) // another brings, or brought, this request back
	return nil
}
