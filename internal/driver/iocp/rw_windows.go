package iocp

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// startTransfer makes an overlapped call if that is all it takes, and leaves all else to a worker.
func (d *Driver) startTransfer(r *driver.Request) bool {
	d.lock()
	t, ok := d.target(r.FD)
	switch {
	case !ok:
		r.Err = windows.ERROR_INVALID_HANDLE
	case r.Flags&driver.FixedBuffer != 0 && !d.inFixedBuffer(r):
		r.Err = windows.ERROR_NOACCESS
	case r.Off < 0 && r.Off != driver.CurrentOffset, tooManyBuffers(r):
		r.Err = windows.ERROR_INVALID_PARAMETER
	case (t.pipe || t.socket != 0) && r.Off >= 0:
		r.Err = windows.ERROR_SEEK_ON_DEVICE
	case !t.attached, t.disk && r.Off == driver.CurrentOffset:
		d.toWorker(r, t, t.mayWait(r))
		d.unlock()
		return false
	case reads(r.Kind) && r.Wanted() == 0: // nothing to transfer is nothing to wait for
	default:
		b := d.take(r, submitting, t)
		d.unlock()
		err := b.issue(r.Off, 0)
		d.lock()
		done := d.issued(b, asErrno(err)) != nil
		d.unlock()
		return done
	}
	d.unlock()
	return true
}

// issued decides, when b's call has returned, whose b is now. It returns its request if that is done and b is released. The lock is held.
func (d *Driver) issued(b *block, errno syscall.Errno) *driver.Request {
	switch {
	case b.early && (errno == 0 || errno == windows.ERROR_IO_PENDING): // the packet came first
		return d.conclude(b, b.errnoOf(b.earlyStatus), int(b.earlyBytes))
	case errno == 0 && b.skips && b.on == b.h:
		return d.conclude(b, 0, int(b.ov.InternalHigh))
	case errno == 0, errno == windows.ERROR_IO_PENDING:
		b.where = pending
		if b.asked() || b.isNotToWait() || b.message.shut { // asked for while the call was made, or by its flags
			d.cancelPending(b)
		}
		return nil
	case b.plain && !isCut(errno):
		return d.conclude(b, errno, 0)
	}
	// A packet may follow, or not: one of ours follows it.
	n := 0
	if isCut(errno) {
		n = int(b.ov.InternalHigh) // Wine leaves the call's own count 0
	}
	d.answer(b, errno, n)
	return d.doubt(b)
}

// doubt brings back b, whose result is set, when a packet of the system's may be in the port already, by one that follows it. The lock is held.
func (d *Driver) doubt(b *block) *driver.Request {
	b.where = posted
	if d.post(b) {
		return nil
	}
	b.where = limbo
	return d.detach(b)
}

// conclude ends b's request with what the system said, and returns it, unless it takes another call. The lock is held.
func (d *Driver) conclude(b *block, errno syscall.Errno, n int) *driver.Request {
	if d.goesOn(b, errno, n) {
		d.answered(b)
		b.where, b.early = submitting, false
		return d.issued(b, d.call(b, 0))
	}
	d.answer(b, errno, n)
	return d.release(b)
}

// answer sets the request's result from what the system said. The lock is held.
func (d *Driver) answer(b *block, errno syscall.Errno, n int) {
	switch {
	case b.r.Kind == driver.Poll:
		n, errno = b.ready(errno)
	case table[b.r.Kind].socket:
		n, errno = d.socketResult(b, errno, n)
	}
	b.result(errno, n, b.asked())
	b.scatter(b.r.N)
}

// issue makes b's overlapped call. Rule: the system uses ov and the buffer until the packet comes or the event is set; both are pinned,
// and b, which refers to them, is in the driver's table.
func (b *block) issue(off int64, event windows.Handle) error {
	b.ov = windows.Overlapped{HEvent: event}
	if b.socket != 0 {
		return b.issueOnSocket()
	}
	switch {
	case b.appends && !reads(b.r.Kind):
		b.ov.Offset, b.ov.OffsetHigh = 1<<32-1, 1<<32-1 // the end, whatever it is
	case off > 0 && !b.pipe:
		b.ov.Offset, b.ov.OffsetHigh = uint32(off), uint32(off>>32)
	}
	if vec := b.r.Ext; vec != nil && vec.Vec != nil {
		if size := b.segment(vec.Vec); size > 0 {
			if reads(b.r.Kind) {
				return win32.ReadFileScatter(b.h, &b.segments[0], size, nil, &b.ov)
			}
			return win32.WriteFileGather(b.h, &b.segments[0], size, nil, &b.ov)
		}
	}
	buf, size := b.buffer()
	if reads(b.r.Kind) {
		return win32.ReadFile(b.h, buf, size, nil, &b.ov)
	}
	return win32.WriteFile(b.h, buf, size, nil, &b.ov)
}

// issueOnSocket makes the call of Winsock's that does the same: what fails at once has its numbers then, as what fails later has (errnoOf).
func (b *block) issueOnSocket() error {
	first, count := b.list()
	if reads(b.r.Kind) {
		b.message.flags = 0
		return windows.WSARecv(b.h, first, count, nil, &b.message.flags, &b.ov, nil)
	}
	return windows.WSASend(b.h, first, count, nil, 0, &b.ov, nil)
}

// buffer pins the request's buffer, or the one that stands for several.
func (b *block) buffer() (*byte, uint32) {
	r := b.r
	whole := r.Buf
	if r.Ext != nil && r.Ext.Vec != nil {
		whole = b.gather(r)
	}
	if len(whole) == 0 {
		return nil, 0
	}
	b.pins.pin(unsafe.SliceData(whole))
	return &whole[0], uint32(min(len(whole), driver.MaxTransferBytes))
}

// execTransfer makes the same call, and waits for it. The low bit of the event keeps a packet away from whatever port the handle may
// belong to. On a handle that is not overlapped the call itself waits. A read of nothing only looks at the handle.
func execTransfer(d *Driver, b *block) (int, error) {
	r := b.r
	if !b.known {
		b.describe(b.h)
	}
	switch {
	case tooManyBuffers(r):
		return 0, windows.ERROR_INVALID_PARAMETER
	case (b.pipe || b.socket != 0) && r.Off >= 0:
		return 0, windows.ERROR_SEEK_ON_DEVICE
	case reads(r.Kind) && r.Wanted() == 0:
		return 0, win32.IsOpen(b.h)
	case b.disk && (r.Off == driver.CurrentOffset || !b.attached):
		return d.transferAtPosition(b)
	case b.readsConsole():
		return d.readConsole(b)
	case b.screen != nil:
		return d.writeConsole(b)
	}
	return d.transferWaiting(b, r.Off)
}

// positions are locks for files' positions: a handle's own is chosen by its number. Who sends to one has it, and who receives lets it go.
type positions [32]chan struct{}

func (p *positions) init() {
	for i := range p {
		p[i] = make(chan struct{}, 1)
	}
}

func (p *positions) of(h windows.Handle) chan struct{} { return p[uintptr(h)/4%uintptr(len(p))] }

// acquire sends to lock, and reports false if b is cancelled before it can.
func (d *Driver) acquire(b *block, lock chan struct{}) bool {
	select {
	case lock <- struct{}{}:
		return true
	default:
	}
	if b.where == here {
		lock <- struct{}{}
		return true
	}
	stop := d.stoppable(b)
	if stop == nil {
		return false
	}
	defer d.unstoppable(b)
	select {
	case lock <- struct{}{}:
		return true
	case <-stop:
		return false
	}
}

// transferAtPosition uses and moves the file's own position, which an overlapped call doesn't, or else leaves it where it is, which a
// synchronous one doesn't. It keeps others of this driver away from it meanwhile.
func (d *Driver) transferAtPosition(b *block) (int, error) {
	lock := d.positions.of(b.h)
	if !d.acquire(b, lock) {
		return 0, driver.ErrCanceled
	}
	defer func() { <-lock }()
	at, err := win32.Position(b.h)
	if err != nil {
		return 0, err
	}
	off := b.r.Off
	if off != driver.CurrentOffset {
		n, err := d.transferWaiting(b, off)
		win32.SetPosition(b.h, at)
		return n, err
	}
	n, err := d.transferWaiting(b, at)
	if n == 0 {
		return n, err
	}
	at += int64(n)
	if b.appends && !reads(b.r.Kind) {
		var st windows.ByHandleFileInformation
		if windows.GetFileInformationByHandle(b.h, &st) == nil {
			at = int64(st.FileSizeHigh)<<32 | int64(st.FileSizeLow)
		}
	}
	win32.SetPosition(b.h, at)
	return n, err
}

// transferWaiting makes b's call and waits for it, unless it is interrupted.
func (d *Driver) transferWaiting(b *block, off int64) (int, error) {
	if err := b.needEvent(); err != nil {
		return 0, err
	}
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	errno := asErrno(b.issue(off, b.event|1))
	if errno == windows.ERROR_IO_PENDING {
		errno = b.errnoOf(b.wait())
	}
	n := 0
	if errno == 0 || isCut(errno) || errno == windows.ERROR_OPERATION_ABORTED && b.ov.Internal != uintptr(windows.STATUS_PENDING) {
		n = int(b.ov.InternalHigh)
	}
	b.scatter(n)
	if errno == 0 {
		return n, nil
	}
	return n, errno
}

func (b *block) needEvent() (err error) {
	if b.event == 0 {
		b.event, err = windows.CreateEvent(nil, 1, 0, nil)
	}
	return err
}

// untouched is what the status in an OVERLAPPED is before a Raw call that this package knows nothing of. No call answers it. Most calls put
// STATUS_PENDING there before they do anything else; native ones don't, nor does Wine's LockFileEx, and so what is there when they return must
// not be taken for the result: zero would be success.
const untouched windows.NTStatus = 1<<32 - 1

// status is the status in b's OVERLAPPED.
func (b *block) status() windows.NTStatus {
	s := windows.NTStatus(atomic.LoadUintptr(&b.ov.Internal))
	if s == untouched {
		return windows.STATUS_PENDING
	}
	return s
}

// wait waits until the system has set the status of b's call, which sets the event too. What the event says by itself may be about the
// block's last call.
func (b *block) wait() windows.NTStatus {
	for {
		if s := b.status(); s != windows.STATUS_PENDING {
			return s
		}
		_, err := windows.WaitForSingleObject(b.event, windows.INFINITE)
		if err == nil && b.status() == windows.STATUS_PENDING {
			err = windows.ResetEvent(b.event)
		}
		if err != nil {
			panic("iocp: the system has a buffer and won't say until when: " + err.Error())
		}
	}
}
