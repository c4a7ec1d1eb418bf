package iocp

import (
	"errors"
	"io"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// Started is what a start function reports of the call that it made with an OVERLAPPED. The seed calls it CbResult.
type Started struct {
	how how
	n   int
	err error
}

// how a call stands.
type how uint8

const (
	unchecked  how = iota // the start function has not looked: err is what the call returned
	done                  // it is over, and did n
	inProgress            // its packet will say: the seed's CbPending
	incomplete            // the same
	failed                // it is over, with err, and nothing will come of it
)

// Done: the call is over and moved n bytes, or counted whatever it counts.
func Done(n int) Started { return Started{how: done, n: n} }

// Pending: the system will report the result (ERROR_IO_PENDING).
func Pending() Started { return Started{how: inProgress} }

// Incomplete: the call has begun and is not over (ERROR_IO_INCOMPLETE). The result is waited for as with Pending.
func Incomplete() Started { return Started{how: incomplete} }

// Failed: the call was refused with err; nothing is in progress.
func Failed(err error) Started { return Started{how: failed, err: err} }

// Unchecked: err is what the call returned, and the driver finds out by classify.
func Unchecked(err error) Started { return Started{how: unchecked, err: err} }

// classify is the seed's table under CbNone: it tells from the OVERLAPPED's status, the last error and the call's own answer how it
// stands. Two rows are decided differently, for reasons that overlapped_windows_test.go has beside them: a call that was refused is not done because
// its OVERLAPPED was never touched, and one that is pending is so even if its status is final by now, since its packet comes.
func classify(status windows.NTStatus, errno syscall.Errno, ok bool) how {
	switch {
	case !ok:
	case status == windows.STATUS_PENDING: // ReadDirectoryChangesW succeeds in this sense
		return inProgress
	case status == windows.STATUS_SUCCESS, status == windows.STATUS_END_OF_FILE:
		return done
	}
	switch errno {
	case windows.ERROR_IO_PENDING:
		return inProgress
	case windows.ERROR_IO_INCOMPLETE:
		return incomplete
	case windows.ERROR_SUCCESS, windows.ERROR_MORE_DATA, windows.ERROR_HANDLE_EOF, windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_MORE_ITEMS,
		windows.ERROR_OPERATION_ABORTED:
		return done
	}
	if !ok {
		return failed
	}
	return inProgress
}

// settle decides for a start function that has not looked. Afterwards s is done with a count and perhaps an error, pending, incomplete or failed.
// If the system posts a packet for each success, it is waited for, whatever the status is by now: of a call that succeeds while it is in progress
// (ReadDirectoryChangesW), the status may be final before its packet is in the port.
func (s Started) settle(ov *windows.Overlapped, posts bool) Started {
	if s.how != unchecked {
		return s
	}
	s.err = saidBy(s.err)
	if posts && s.err == nil {
		return Pending()
	}
	status := windows.NTStatus(atomic.LoadUintptr(&ov.Internal))
	if status == untouched { // nothing that is known speaks against what the call itself says
		status = windows.STATUS_SUCCESS
	}
	s.how = classify(status, asErrno(s.err), s.err == nil)
	if s.how == done {
		s.n = int(ov.InternalHigh)
		if s.err == nil {
			s.err = errnoError(errnoOf(status))
		}
	}
	return s
}

// saidBy is what err, which a call has returned, says as a syscall.Errno does. A native call returns an NTSTATUS, be it no error, and whoever made
// the call may have wrapped its error: that it is pending must not be missed, since the system has the memory then.
func saidBy(err error) error {
	switch err.(type) {
	case nil, syscall.Errno:
		return err
	}
	var status windows.NTStatus
	var errno syscall.Errno
	switch {
	case errors.As(err, &status) && status == windows.STATUS_PENDING:
		return windows.ERROR_IO_PENDING
	case errors.As(err, &status):
		return errnoError(errnoOf(status))
	case errors.As(err, &errno) && classify(windows.STATUS_PENDING, errno, false) != failed:
		return errno
	}
	return err
}

func errnoError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// ErrNoReturn is the result of a request whose start function did not return: it panicked, or called runtime.Goexit.
var ErrNoReturn = errors.New("the start function did not return")

// start makes b's call. The OVERLAPPED's event, if any, keeps packets away.
func (b *block) start(event windows.Handle) Started {
	b.ov = windows.Overlapped{Internal: uintptr(untouched), HEvent: event}
	if off := b.r.Off; off > 0 {
		b.ov.Offset, b.ov.OffsetHigh = uint32(off), uint32(off>>32)
	}
	posts := event == 0 && !b.skips
	return b.r.Ext.Raw.(func(*windows.Overlapped) Started)(&b.ov).settle(&b.ov, posts)
}

// startRaw makes the call at once if a packet can report its result, and else leaves it to a worker of its own.
func (d *Driver) startRaw(r *driver.Request) bool {
	if _, ok := r.Ext.Raw.(func(*windows.Overlapped) Started); !ok { // another system's
		r.Err = driver.ErrUnsupported
		return true
	}
	d.lock()
	t, ok := d.target(r.FD)
	switch {
	case !ok:
		d.unlock()
		r.Err = windows.ERROR_INVALID_HANDLE
		return true
	case !t.attached:
		d.toWorker(r, t, true)
		d.unlock()
		return false
	}
	b := d.take(r, submitting, t)
	d.unlock()
	returned := false
	defer func() {
		if !returned {
			d.abandon(b)
		}
	}()
	s := b.start(0)
	returned = true
	d.lock()
	defer d.unlock()
	switch {
	case s.how == inProgress || s.how == incomplete:
		return d.issued(b, windows.ERROR_IO_PENDING) != nil
	case b.early, s.how == done && s.err == nil && b.skips, s.how == failed && b.plain:
		b.finish(s.n, s.err, false)
		d.release(b)
		return true
	}
	b.finish(s.n, s.err, false)
	return d.doubt(b) != nil
}

// abandon ends the request of b, whose start function has not returned, so that nobody knows whether it has made its call. If the system finds one
// to cancel, its packet will come, and Close waits for that. If not, there was none, or it is over; b is not used again all the same.
func (d *Driver) abandon(b *block) {
	d.lock()
	defer d.unlock()
	ext := b.r.Ext
	early, h := b.early, b.h
	if d.detach(b); early { // the packet has come
		d.free(b)
		return
	}
	b.where = limbo
	if b.cancelIO(h) == nil {
		b.owed = ext
		d.owed++
	}
}

// execRaw makes the call and waits for its event. On a handle that is not overlapped, the call itself waits.
func execRaw(d *Driver, b *block) (int, error) {
	if err := b.needEvent(); err != nil {
		return 0, err
	}
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	returned := false
	defer func() {
		if !returned { // runtime.Goexit; see abandon
			b.spoiled, b.owed = true, b.r.Ext
			if b.cancelIO(b.h) == nil {
				b.wait()
			}
		}
	}()
	s := b.start(b.event | 1)
	returned = true
	if s.how == inProgress || s.how == incomplete {
		status := b.wait()
		return int(b.ov.InternalHigh), errnoError(b.errnoOf(status))
	}
	return s.n, s.err
}

// outcomeOfRaw is outcome for a call that this package knows nothing of: only what a cancel and the end of a file mean is certain.
func outcomeOfRaw(errno syscall.Errno, n int, asked bool) (int, error) {
	switch {
	case errno == 0:
		return n, nil
	case errno == windows.ERROR_OPERATION_ABORTED && n == 0 && asked:
		return 0, driver.ErrCanceled
	case errno == windows.ERROR_HANDLE_EOF:
		return n, io.EOF
	}
	return n, errno
}
