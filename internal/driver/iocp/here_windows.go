package iocp

import (
	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// Here implements driver.Driver. A transfer is an overlapped call with an event whose low bit is set, so that no packet is posted, which it
// waits for only if the system has not answered at once.
func (d *Driver) Here(r *driver.Request) {
	r.Reset()
	exec := table[r.Kind].exec
	switch {
	case r.Kind == driver.Nop:
		return
	case r.Kind == driver.Close:
		h := windows.Handle(r.FD)
		if !isHandle(h) {
			r.Err = windows.ERROR_INVALID_HANDLE
			return
		}
		t := d.handles.of(h)
		d.handles.forget(h)
		if err := closeHandle(h, t != nil && t.socket != 0); err != nil {
			r.Err = asErrno(err)
		}
		return
	case exec == nil:
		r.Err = driver.ErrUnsupported
		return
	}
	d.startHere(r)
}

// startHere carries out r on the spot. As a kind's start it is for calls that end by themselves, so soon that handing them over would take longer.
func (d *Driver) startHere(r *driver.Request) (done bool) {
	d.lock()
	t, ok := d.target(r.FD)
	if !ok {
		d.unlock()
		r.Err = windows.ERROR_INVALID_HANDLE
		return true
	}
	b := d.take(r, here, t)
	d.unlock()
	n, err := table[r.Kind].exec(d, b)
	b.finish(n, err, false)
	d.remember(b)
	d.lock()
	d.release(b)
	d.unlock()
	return true
}
