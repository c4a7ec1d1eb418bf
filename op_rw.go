package ringport

import (
	"math"

	"github.com/ringport/ringport/internal/driver"
)

// Nop does nothing, through the kernel where it has such an operation. It shows what the machinery costs.
func Nop() Op { return Op{req: driver.Request{Kind: driver.Nop}} }

// Read reads into buf, at off bytes from the start of the file or at [CurrentOffset]. The result is the number of bytes,
// which may be fewer than asked for; none at the end of the file, with io.EOF. A pipe of messages (Windows) that has a longer one fills
// buf, and the error is ErrMoreData; of an empty one the result is 0, and no error. As to several at once, see [Write]. See pread(2), ReadFile.
func Read(h Handle, buf []byte, off int64) Op {
	return Op{req: driver.Request{Kind: driver.Read, FD: h, Buf: capped(buf), Off: off}}
}

// Write writes buf at off bytes from the start of the file or at [CurrentOffset]. The result is the number of bytes,
// which may be fewer than asked for. In what order several operations that are in flight at CurrentOffset of one handle, a pipe for instance, do
// their work is not promised: start the next when this one is done, or use a chain. See pwrite(2), WriteFile.
func Write(h Handle, buf []byte, off int64) Op {
	return Op{req: driver.Request{Kind: driver.Write, FD: h, Buf: capped(buf), Off: off}}
}

// ReadFixed is Read into a part of registered buffer index (see [Manager.RegisterBuffers]); buf must lie within it.
func ReadFixed(h Handle, index int, buf []byte, off int64) Op {
	return Op{req: driver.Request{Kind: driver.Read, Flags: driver.FixedBuffer, BufferIndex: bufferIndex(index), FD: h,
		Buf: capped(buf), Off: off}}
}

// WriteFixed is Write from a part of registered buffer index (see [Manager.RegisterBuffers]); buf must lie within it.
func WriteFixed(h Handle, index int, buf []byte, off int64) Op {
	return Op{req: driver.Request{Kind: driver.Write, Flags: driver.FixedBuffer, BufferIndex: bufferIndex(index), FD: h,
		Buf: capped(buf), Off: off}}
}

// bufferIndex is index, or one that no system gives to a buffer (Linux has at most 1<<14) if it is out of range.
func bufferIndex(index int) uint16 {
	if index < 0 || index > math.MaxUint16 {
		return math.MaxUint16
	}
	return uint16(index)
}

// Readv is Read into several buffers, one after the other. At most 1024 of them (IOV_MAX). See preadv(2).
func Readv(h Handle, bufs [][]byte, off int64) Op {
	return Op{req: driver.Request{Kind: driver.Readv, FD: h, Off: off, Ext: &driver.Ext{Vec: bufs}}}
}

// Writev is Write from several buffers, one after the other. At most 1024 of them (IOV_MAX). See pwritev(2).
func Writev(h Handle, bufs [][]byte, off int64) Op {
	return Op{req: driver.Request{Kind: driver.Writev, FD: h, Off: off, Ext: &driver.Ext{Vec: bufs}}}
}

// Splice moves up to n bytes from one handle to another without copying them through the program. One of the two must be
// a pipe; offsets are [CurrentOffset] for pipes. Flags are SPLICE_F_*. The result is the number of bytes, 0 at the end.
// Linux only. See splice(2).
func Splice(from Handle, fromOff int64, to Handle, toOff int64, n int, flags uint32) Op {
	return Op{req: driver.Request{Kind: driver.Splice, FD: from, Off: fromOff, Len: int64(n), Arg: flags,
		Ext: &driver.Ext{FD2: to, Off2: toOff}}}
}

func capped(buf []byte) []byte {
	if len(buf) > MaxTransferBytes {
		return buf[:MaxTransferBytes]
	}
	return buf
}
