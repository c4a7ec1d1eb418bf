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
		if h := windows.Handle(r.FD); !isHandle(h) {
			r.Err = windows.ERROR_INVALID_HANDLE
		} else {
			d.handles.forget(h)
			if err := windows.CloseHandle(h); err != nil {
				r.Err = asErrno(err)
			}
		}
		return
	case exec == nil:
		r.Err = driver.ErrUnsupported
		return
	}
	d.lock()
	t, ok := d.target(r.FD)
	if !ok {
		d.unlock()
		r.Err = windows.ERROR_INVALID_HANDLE
		return
	}
	b := d.take(r, here, t)
	d.unlock()
	n, err := exec(d, b)
	b.finish(n, err, false)
	if r.Kind == driver.Open && r.Err == nil {
		d.handles.set(windows.Handle(r.N), b.opened)
	}
	d.lock()
	d.release(b)
	d.unlock()
}
