package uring

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// RegisterBuffers implements driver.Driver.
func (d *Driver) RegisterBuffers(bufs [][]byte) error {
	if d.owned {
		if err := d.own(); err != nil {
			return err
		}
	}
	d.registering.Lock()
	defer d.registering.Unlock()
	if d.bufs != nil {
		if err := d.ring.UnregisterBuffers(); err != nil {
			return registerError(err)
		}
		d.bufs = nil
	}
	if len(bufs) == 0 {
		return nil
	}
	if err := d.ring.RegisterBuffers(bufs); err != nil {
		return registerError(err)
	}
	d.bufs = bufs
	return nil
}

// registerError tells a call on another thread than the owner's (EEXIST) from other errors.
func registerError(err error) error {
	if err == unix.EEXIST {
		return driver.ErrNotOwner
	}
	return err
}

// RegisterFiles implements driver.Driver.
func (d *Driver) RegisterFiles(hs []driver.Handle) error {
	if d.owned {
		if err := d.own(); err != nil {
			return err
		}
	}
	fds := make([]int32, len(hs))
	for i, h := range hs {
		switch {
		case h == ^driver.Handle(0):
			fds[i] = -1 // an empty place
		case h >= 1<<30: // the kernel would take what the low half says
			return unix.EBADF
		default:
			fds[i] = int32(h)
		}
	}
	d.registering.Lock()
	defer d.registering.Unlock()
	if err := d.ring.UnregisterFiles(); err != nil && err != unix.ENXIO {
		return registerError(err)
	}
	if len(hs) == 0 {
		return nil
	}
	return d.ring.RegisterFiles(fds)
}
