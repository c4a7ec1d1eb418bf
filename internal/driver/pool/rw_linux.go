package pool

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

const pipeBuf = 4096 // PIPE_BUF: what fits into a pipe that polls writable, and is not mixed with what others write

// maxCached is the longest read that TryCached does. The copy takes some microseconds, in which the scheduler believes that
// the processor runs Go code.
const maxCached = 64 << 10

// TryCached reads at off what the page cache holds, and nothing else: preadv2(2) with RWF_NOWAIT. Since it can't block, it
// goes without a word to the scheduler, which makes it cheaper than a pread. It reports false, and has no effect but on
// buf's contents, if that is not all of buf (at the end of a file too, but for a read that begins there), if buf is longer than
// 64 KiB, off is negative, or the file system or the kernel (before 4.14) can't tell. fd must be a regular file without
// O_DIRECT: that one waits for the disk, flag or not.
func TryCached(fd int, buf []byte, off int64) (n int, ok bool) {
	if off < 0 || len(buf) > maxCached {
		return 0, false
	}
	iov := unix.Iovec{Base: unsafe.SliceData(buf)}
	iov.SetLen(len(buf))
	lo, hi := halves(off)
	// Rule: the pointer is converted in the call's own argument list; the call does not block, so that the stack stays.
	got, _, errno := unix.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1, lo, hi, unix.RWF_NOWAIT)
	if errno != 0 || got != 0 && int(got) != len(buf) {
		return 0, false
	}
	return int(got), true
}

// halves is an offset as preadv(2) and its family take it: the low half, and the high one where a word is 32 bits.
func halves(off int64) (lo, hi uintptr) {
	const wordBits = 8 * unsafe.Sizeof(uintptr(0))
	return uintptr(off), uintptr(uint64(off) >> (wordBits - 1) >> 1) // two shifts: on 64 bits the second clears it
}

// isDirect reports whether fd is open with O_DIRECT, or not at all.
func isDirect(fd int) bool {
	flags, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFL, 0)
	return errno != 0 || flags&unix.O_DIRECT != 0
}

var emptyPath [1]byte

// isStream reports whether fd may wait for somebody else. It asks for the type alone and for no news from a server
// (AT_STATX_DONT_SYNC), so that a hung network file system can't hold up a Submit.
func isStream(fd int) (bool, error) {
	var x unix.Statx_t
	// Rule: pointers are converted in the call's own argument list.
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&emptyPath[0])),
		unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, uintptr(unsafe.Pointer(&x)), 0)
	switch errno {
	case 0:
		return isStreamMode(uint32(x.Mode)), nil
	case unix.ENOSYS, unix.EPERM: // before Linux 4.11, or a sandbox
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return false, err
		}
		return isStreamMode(st.Mode), nil
	}
	return false, errno
}

func readv(fd int, bufs [][]byte, off int64) (int, error) {
	if off == driver.CurrentOffset {
		return unix.Readv(fd, bufs)
	}
	return unix.Preadv(fd, bufs, off)
}

func writev(fd int, bufs [][]byte, off int64) (int, error) {
	if off == driver.CurrentOffset {
		return unix.Writev(fd, bufs)
	}
	return unix.Pwritev(fd, bufs, off)
}

var spliceEntry = entry{execSplice, (*Driver).startSplice, (*Driver).stepSplice}

func execSplice(r *driver.Request, from, to int) (int, error) {
	return splice(r, from, to, r.Arg, r.Len)
}

func splice(r *driver.Request, from, to int, flags uint32, size int64) (int, error) {
	var off, off2 *int64
	if r.Off != driver.CurrentOffset {
		at := r.Off
		off = &at
	}
	if r.Ext.Off2 != driver.CurrentOffset {
		at := r.Ext.Off2
		off2 = &at
	}
	n, err := unix.Splice(from, off, to, off2, int(min(size, driver.MaxTransferBytes)), int(flags))
	return int(n), err
}

func (d *Driver) startSplice(r *driver.Request) bool { return d.startOnWorker(r, stepwise) }

// stepSplice splices what can be had without blocking. The flag makes pipes say EAGAIN. What is neither a pipe nor a file
// (sockets, terminals) ignores it: that has to poll ready first, and as the output gets no more at a time than fits then.
func (d *Driver) stepSplice(r *driver.Request, from, to int) outcome {
	size := r.Len
	if !isPipe(from) && pollNow(from, unix.POLLIN) == 0 {
		return d.spliceWaits(r, 0)
	}
	if stream, err := isStream(to); err == nil && stream && !isPipe(to) {
		if size = min(size, pipeBuf); pollNow(to, unix.POLLOUT) == 0 {
			return d.spliceWaits(r, outward)
		}
	}
	for {
		n, err := splice(r, from, to, r.Arg|unix.SPLICE_F_NONBLOCK, size)
		switch {
		case err == unix.EINTR:
		case err != unix.EAGAIN || r.State.Tries >= maxTries:
			conclude(r, n, err)
			return finished
		case pollNow(from, unix.POLLIN) == 0:
			return d.spliceWaits(r, 0)
		case pollNow(to, unix.POLLOUT) == 0:
			return d.spliceWaits(r, outward)
		default: // a competitor was faster, and then slower
			r.State.Tries++
		}
		if d.isCanceling(r) {
			return notReady
		}
	}
}

func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

// spliceWaits says which side r has to wait for, unless the caller has asked not to wait.
func (d *Driver) spliceWaits(r *driver.Request, side uint32) outcome {
	if r.Arg&unix.SPLICE_F_NONBLOCK != 0 {
		r.Err = unix.EAGAIN
		return finished
	}
	d.mu.Lock()
	r.State.Slot = r.State.Slot&^outward | side
	r.State.Tries = 0
	d.mu.Unlock()
	return notReady
}
