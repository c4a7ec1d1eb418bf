//go:build unix

package pool

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func execRead(r *driver.Request, fd, _ int) (int, error) {
	if r.Off == driver.CurrentOffset {
		return unix.Read(fd, r.Buf)
	}
	return unix.Pread(fd, r.Buf, r.Off)
}

func execWrite(r *driver.Request, fd, _ int) (int, error) {
	if r.Off == driver.CurrentOffset {
		return unix.Write(fd, r.Buf)
	}
	return unix.Pwrite(fd, r.Buf, r.Off)
}

func execReadv(r *driver.Request, fd, _ int) (int, error)  { return readv(fd, r.Ext.Vec, r.Off) }
func execWritev(r *driver.Request, fd, _ int) (int, error) { return writev(fd, r.Ext.Vec, r.Off) }

// startTransfer answers from the page cache what is there, attempts a stream at once, and leaves all else to a worker.
func (d *Driver) startTransfer(r *driver.Request) bool {
	if r.Flags&driver.FixedBuffer != 0 && !d.inFixedBuffer(r) {
		r.Err = unix.EFAULT
		return true
	}
	fd := d.descriptor(r)
	if r.Flags&driver.Regular == 0 && r.Wanted() > 0 { // nothing to transfer is nothing to wait for
		stream, err := isStream(fd)
		if err != nil {
			r.Err = err
			return true
		}
		if stream {
			return d.startStream(r, fd)
		}
	}
	if r.Kind == driver.Read && !isDirect(fd) {
		if n, ok := TryCached(fd, r.Buf, r.Off); ok {
			r.N = n
			return true
		}
	}
	return d.startOnWorker(r, 0)
}

// inFixedBuffer reports whether r's buffer lies in the registered one that it names, which io_uring insists on. Rule: the
// addresses are only compared, and both slices are reachable.
func (d *Driver) inFixedBuffer(r *driver.Request) bool {
	bufs := d.bufs.Load()
	if bufs == nil || int(r.BufferIndex) >= len(*bufs) {
		return false
	}
	whole := (*bufs)[r.BufferIndex]
	from := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(r.Buf)))
	return at >= from && at+uintptr(len(r.Buf)) <= from+uintptr(len(whole))
}

// isStreamMode tells what may wait for somebody else from what ends by itself. Descriptors without a type (eventfd, timerfd
// and their like) are among the former.
func isStreamMode(mode uint32) bool {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK, unix.S_IFDIR, unix.S_IFLNK:
		return false
	}
	return true
}

// position is where what r has still to move begins.
func position(r *driver.Request) int64 {
	if r.Off == driver.CurrentOffset {
		return r.Off
	}
	return r.Off + int64(r.N)
}

// rest appends to bufs, which may be nil, those that r has still to move, skipping the N bytes already moved.
func rest(bufs [][]byte, r *driver.Request) [][]byte {
	skip := r.N
	if r.Ext == nil || r.Ext.Vec == nil {
		return append(bufs, r.Buf[skip:])
	}
	for _, b := range r.Ext.Vec {
		k := min(skip, len(b))
		skip -= k
		if k < len(b) {
			bufs = append(bufs, b[k:])
		}
	}
	return bufs
}
