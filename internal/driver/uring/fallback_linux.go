package uring

import (
	"slices"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/pool"
)

// fallBack runs a request whose opcode this kernel lacks as a system call of its own: in a goroutine, a bounded number at a
// time. Every kind that the oldest supported kernel (5.12) can lack ends by itself, so none needs a cancel:
// mkdirat and linkat came with 5.15, socket with 5.19, ftruncate with 6.9, bind and listen with 6.11. There is no system call on a registered file.
func (d *Driver) fallBack(r *driver.Request) bool {
	if _, registered := r.FD.Registered(); registered || r.Kind == driver.Raw {
		r.Err = driver.ErrUnsupported
		return true
	}
	go func() {
		d.threads <- struct{}{}
		pool.Exec(r)
		<-d.threads
		d.fell(r)
	}()
	return false
}

// fell gives r, which is over without a completion, to Wait.
func (d *Driver) fell(r *driver.Request) {
	d.fallMu.Lock()
	d.fallen = append(d.fallen, r)
	d.signal() // under the lock: see Close
	d.fallMu.Unlock()
}

// takeFallen moves what fallBack finished into batch. What does not fit stays, and Wait is woken for it.
func (d *Driver) takeFallen(batch []*driver.Request) int {
	d.fallMu.Lock()
	n := copy(batch, d.fallen)
	d.fallen = slices.Delete(d.fallen, 0, n)
	if len(d.fallen) > 0 {
		d.signal()
	}
	d.fallMu.Unlock()
	return n
}

// Here implements driver.Driver. The ring has no part in it.
func (d *Driver) Here(r *driver.Request) { pool.Exec(r) }
