//go:build !portable

package pool

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// blocked is a system call that blocks its thread and that a cancel can end.
//
// A signal alone does not do: the Go runtime installs its handlers with SA_RESTART, so that the kernel starts an interrupted
// call again, with the same arguments. But what these point to it reads anew. So the canceller first empties the path, or the
// buffers' lengths, and then sends the signal: the restarted call answers ENOENT, or 0, at once. There is no moment at which
// that could be missed: a call that has not read its arguments yet finds them empty, one that has finds the signal pending
// before it sleeps, and one that has moved something returns it. The other side of a FIFO sees nothing of it all.
//
// The signal is SIGURG, which the runtime itself sends to its threads to preempt goroutines, and whose handler takes strays. A
// program that ignores it (signal.Ignore) gives up both: then such a call ends only when its peer moves.
type blocked struct {
	thread int
	path   []byte // a C string
	iov    []unix.Iovec
}

// interrupt ends the call. The lock is held.
func (b *blocked) interrupt() {
	if b.path != nil {
		b.path[0] = 0
	}
	for i := range b.iov {
		b.iov[i].SetLen(0)
	}
	unix.Tgkill(unix.Getpid(), b.thread, unix.SIGURG)
}

// enter ties the goroutine to its thread for a call that b describes, until leave. It reports false, and has done nothing, if r
// has been cancelled.
func (d *Driver) enter(r *driver.Request, b *blocked) bool {
	runtime.LockOSThread()
	b.thread = unix.Gettid()
	d.mu.Lock()
	canceling := r.State.Canceling
	if !canceling {
		d.blocked[r] = b
	}
	d.mu.Unlock()
	if canceling {
		runtime.UnlockOSThread()
	}
	return !canceling
}

// leave ends what enter began, and reports whether the call was interrupted.
func (d *Driver) leave(r *driver.Request) (interrupted bool) {
	d.mu.Lock()
	delete(d.blocked, r)
	interrupted = r.State.Canceling
	d.mu.Unlock()
	runtime.UnlockOSThread()
	return interrupted
}

// openInterruptibly opens r's path as a blocking open does.
func (d *Driver) openInterruptibly(r *driver.Request) outcome {
	dir := d.descriptor(r)
	path, err := unix.ByteSliceFromString(r.Ext.Path)
	if err != nil {
		conclude(r, 0, err)
		return finished
	}
	for {
		if !d.enter(r, &blocked{path: path}) {
			return notReady // settle sees that it is cancelled
		}
		// Rule: the pointer is converted in the call's own argument list; path is on the heap, as the canceller has it too.
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
			uintptr(r.Arg|unix.O_CLOEXEC|unix.O_LARGEFILE), uintptr(r.Arg2), 0, 0)
		interrupted := d.leave(r)
		switch {
		case errno == 0:
			r.N = int(fd)
			return finished
		case interrupted && (errno == unix.ENOENT || errno == unix.EINTR):
			return notReady
		case errno != unix.EINTR:
			conclude(r, 0, errno)
			return finished
		}
	}
}
