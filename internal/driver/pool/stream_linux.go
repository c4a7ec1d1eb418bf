//go:build !portable

package pool

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// attemptTransfer makes one call that does not block: preadv2(2) or pwritev2(2) with RWF_NOWAIT, which pipes (Linux 6.4) and
// sockets know, else recvmsg(2) or sendmsg(2) with MSG_DONTWAIT, else errNoAttempt.
func attemptTransfer(r *driver.Request, fd int) (int, error) {
	var few [8]unix.Iovec
	iov := appendIovecs(few[:0], r)
	call := uintptr(unix.SYS_PWRITEV2)
	if r.Kind.Reads() {
		call = unix.SYS_PREADV2
	}
	lo, hi := halves(position(r))
	// Rule: pointers are converted in the call's own argument list, and r keeps the buffers reachable.
	n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)), lo, hi,
		unix.RWF_NOWAIT)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EOPNOTSUPP, unix.ENOSYS:
		return attemptSocket(r, fd)
	}
	return 0, errno
}

// transferInterruptibly makes one call that may block if a competitor is faster, and that a cancel interrupts: EINTR. The call
// has its buffers by way of iovecs, since these can be changed when it is restarted.
func (d *Driver) transferInterruptibly(r *driver.Request, fd int) (int, error) {
	b := &blocked{iov: appendIovecs(nil, r)}
	call, positional := uintptr(unix.SYS_READV), uintptr(unix.SYS_PREADV)
	if !r.Kind.Reads() {
		call, positional = unix.SYS_WRITEV, unix.SYS_PWRITEV
		b.iov = cutIovecs(b.iov, pipeBuf)
	}
	if !d.enter(r, b) {
		return 0, unix.EINTR
	}
	var n uintptr
	var errno unix.Errno
	// Rule: as above; b is on the heap, as the canceller has it too.
	if vec := unsafe.SliceData(b.iov); r.Off == driver.CurrentOffset {
		n, _, errno = unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(vec)), uintptr(len(b.iov)))
	} else {
		lo, hi := halves(position(r))
		n, _, errno = unix.Syscall6(positional, uintptr(fd), uintptr(unsafe.Pointer(vec)), uintptr(len(b.iov)), lo, hi, 0)
	}
	interrupted := d.leave(r)
	switch {
	case errno != 0:
		return 0, errno
	case n == 0 && interrupted:
		return 0, unix.EINTR
	}
	return int(n), nil
}

// appendIovecs appends the buffers that r has still to move.
func appendIovecs(iov []unix.Iovec, r *driver.Request) []unix.Iovec {
	var few [8][]byte
	for _, b := range rest(few[:0], r) {
		v := unix.Iovec{Base: unsafe.SliceData(b)}
		v.SetLen(len(b))
		iov = append(iov, v)
	}
	return iov
}

// cutIovecs cuts iov to size bytes.
func cutIovecs(iov []unix.Iovec, size int) []unix.Iovec {
	for i := range iov {
		if int(iov[i].Len) >= size {
			iov[i].SetLen(size)
			return iov[:i+1]
		}
		size -= int(iov[i].Len)
	}
	return iov
}
