//go:build unix && (!linux || portable)

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// blocked is an open of a FIFO that waits for its peer. A cancel opens both ends itself, which never waits, and keeps them
// open until the blocked one is back. Others that wait on the same side of the same FIFO are released by that too.
type blocked struct {
	d     *Driver
	dir   int
	path  string
	ended chan struct{}
	asked bool
}

// interrupt releases the open. The lock is held.
func (b *blocked) interrupt() {
	if b.asked {
		return
	}
	b.asked = true
	b.d.outside++
	go func() {
		fd, err := unix.Openat(b.dir, b.path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		<-b.ended
		if err == nil {
			unix.Close(fd)
		}
		b.d.mu.Lock()
		b.d.outside--
		b.d.ended.Broadcast()
		b.d.mu.Unlock()
	}()
}

// openInterruptibly opens r's path as a blocking open does. One that was released by a cancel is closed again.
func (d *Driver) openInterruptibly(r *driver.Request) outcome {
	dir := d.descriptor(r.FD)
	b := &blocked{d: d, dir: dir, path: r.Ext.Path, ended: make(chan struct{})}
	defer close(b.ended)
	d.mu.Lock()
	if r.State.Canceling {
		d.mu.Unlock()
		return notReady // settle sees that it is cancelled
	}
	d.blocked[r] = b
	d.mu.Unlock()
	execute(r, dir, 0)
	d.mu.Lock()
	delete(d.blocked, r)
	released := b.asked && r.Err == nil
	d.mu.Unlock()
	if !released {
		return finished
	}
	unix.Close(r.N)
	r.N = 0
	return notReady
}
