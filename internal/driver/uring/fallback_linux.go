package uring

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

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

// waits reports whether r is an open that may wait for a peer, as far as it says itself.
func waits(r *driver.Request) bool {
	return r.Kind == driver.Open && r.Flags&driver.Waits != 0 && r.Arg&unix.O_NONBLOCK == 0
}

// resolveCached is RESOLVE_CACHED, see openat2(2) (since Linux 5.12): EAGAIN where a path could not be followed without a wait.
const resolveCached = 0x20

// waitsForPeer reports whether r, which is prepared, may wait for a peer by what its path names: a FIFO, a device, or something that the
// system can't tell without a wait.
func waitsForPeer(r *driver.Request) bool {
	if _, registered := r.FD.Registered(); registered || !waits(r) {
		return false
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | uint64(r.Arg&unix.O_NOFOLLOW), Resolve: resolveCached}
	// Rule: the pointers are converted in the call's own argument list. The call does not block.
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT2, uintptr(descriptor(r.FD)), uintptr(unsafe.Pointer(&r.Ext.Platform.(*paths).path[0])),
		uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
	if errno != 0 {
		return errno != unix.ENOENT // what is not there may be created
	}
	var st unix.Stat_t
	err := unix.Fstat(int(fd), &st)
	unix.Close(int(fd))
	mode := st.Mode & unix.S_IFMT
	return err != nil || mode == unix.S_IFIFO || mode == unix.S_IFCHR
}

// openOutside carries out an open that may wait for a peer on a thread of its own. The ring would answer as O_NONBLOCK does, unless a worker
// of the kernel made the call. But the kernel gives up making a worker if signals keep coming, as the Go runtime's do, and what is queued
// then stays where it is until one is free (Linux 6.18, queue_create_worker_retry): those that wait for a peer never are.
func (d *Driver) openOutside(r *driver.Request) (done bool) {
	d.lock()
	d.hold(r)
	d.slots[r.State.Slot-1].outside = true
	if r.Asked.Load() { // the cancel came too early to find r
		d.cancel(r)
	}
	d.unlock()
	go func() {
		d.threads <- struct{}{}
		if d.opens.Slow(r) { // it may wait for ever, and holds up nobody
			<-d.threads
			d.waiting.Add(1)
			d.opens.Run(r)
			d.waiting.Add(-1)
		} else {
			d.opens.Run(r)
			<-d.threads
		}
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
	d.lock()
	for _, r := range batch[:n] {
		if d.inFlight(r) { // openOutside has left it a slot, for Cancel
			d.release(r)
		}
	}
	d.unlock()
	return n
}

// Here implements driver.Driver. The ring has no part in it.
func (d *Driver) Here(r *driver.Request) { pool.Exec(r) }
