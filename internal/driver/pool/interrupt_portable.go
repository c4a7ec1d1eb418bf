//go:build unix && (!linux || portable)

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// blocked is an open of a FIFO that waits for its peer. A cancel opens both ends itself, which never waits, and keeps them
// open until the blocked one is back. Others that wait on the same side of the same FIFO are released by that too.
type blocked struct {
	dir      int
	path     string
	asked    bool
	ended    chan struct{} // the open is back
	released chan struct{} // if asked: what released it is closed again
}

// interrupt releases the open. The lock is held.
func (b *blocked) interrupt() {
	if b.asked {
		return
	}
	b.asked = true
	go func() {
		fd, err := unix.Openat(b.dir, b.path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		<-b.ended
		if err == nil {
			unix.Close(fd)
		}
		close(b.released)
	}()
}

// openInterruptibly opens r's path as a blocking open does. One that was released by a cancel is closed again, and is back only
// when nothing of it is left that a later peer could find.
func (d *Driver) openInterruptibly(r *driver.Request) outcome {
	dir := d.descriptor(r)
	b := &blocked{dir: dir, path: r.Ext.Path, ended: make(chan struct{}), released: make(chan struct{})}
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
	d.mu.Unlock()
	close(b.ended)
	if !b.asked {
		return finished
	}
	<-b.released
	if r.Err != nil {
		return finished
	}
	unix.Close(r.N)
	r.N = 0
	return notReady
}
