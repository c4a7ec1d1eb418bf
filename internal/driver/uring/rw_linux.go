package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// address is where buf begins, as the kernel takes it. Rule: the request, which is on the heap and held by its slot until
// its completion, keeps buf reachable, and the collector does not move what is on the heap.
func address(buf []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) }

func fillRead(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpRead
	fillBuffer(sqe, r, ring.OpReadFixed)
}

func fillWrite(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpWrite
	fillBuffer(sqe, r, ring.OpWriteFixed)
}

func fillBuffer(sqe *ring.SQE, r *driver.Request, fixed uint8) {
	target(sqe, r.FD)
	sqe.Addr, sqe.Len, sqe.Off = address(r.Buf), uint32(len(r.Buf)), uint64(r.Off)
	if r.Flags&driver.FixedBuffer != 0 {
		sqe.Opcode, sqe.BufIndex = fixed, r.BufferIndex
	}
}

// maxVec is IOV_MAX.
const maxVec = 1024

// vec is what a vectored request keeps in Ext.Platform: used again when the Op is.
type vec struct{ iov []unix.Iovec }

func prepareVec(r *driver.Request) error {
	if len(r.Ext.Vec) > maxVec {
		return unix.EINVAL
	}
	v, ok := r.Ext.Platform.(*vec)
	if !ok {
		v = new(vec)
		r.Ext.Platform = v
	}
	v.set(r.Ext.Vec)
	return nil
}

func (v *vec) set(bufs [][]byte) {
	v.iov = v.iov[:0]
	for _, b := range bufs {
		e := unix.Iovec{Base: unsafe.SliceData(b)}
		e.SetLen(len(b))
		v.iov = append(v.iov, e)
	}
}

func fillReadv(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpReadv
	fillVec(sqe, r)
}

func fillWritev(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpWritev
	fillVec(sqe, r)
}

func fillVec(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	iov := r.Ext.Platform.(*vec).iov
	sqe.Addr, sqe.Len, sqe.Off = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(iov)))), uint32(len(iov)), uint64(r.Off)
}

const spliceFixedIn = 1 << 31 // SPLICE_F_FD_IN_FIXED

func prepareSplice(r *driver.Request) error {
	if r.Len < 0 {
		return unix.EINVAL
	}
	return nil
}

func fillSplice(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.Len, sqe.OpFlags = ring.OpSplice, uint32(min(r.Len, driver.MaxTransferBytes)), r.Arg
	target(sqe, r.Ext.FD2)
	sqe.SpliceFD = descriptor(r.FD)
	if _, ok := r.FD.Registered(); ok {
		sqe.OpFlags |= spliceFixedIn
	}
	sqe.Addr, sqe.Off = uint64(r.Off), uint64(r.Ext.Off2)
}
