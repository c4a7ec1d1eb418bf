package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// prepareRecv finds a buffer for a receive that takes its buffer from a group, if the kernel can't.
func prepareRecv(r *driver.Request) error {
	if b := buffersOf(r); b != nil && b.Platform.(*group).ring == nil && r.Ext.Shots.Taken == 0 {
		r.Ext.Shots.Taken = b.Pick()
	}
	return nil
}

func fillRecv(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	sqe.Opcode, sqe.OpFlags = ring.OpRecv, r.Arg
	b := buffersOf(r)
	switch {
	case b == nil:
		sqe.Addr, sqe.Len = address(r.Buf), uint32(len(r.Buf))
		return
	case r.Ext.Shots.Taken != 0:
		buf := b.Bytes(r.Ext.Shots.Taken) // held by b, and so by r
		sqe.Addr, sqe.Len = address(buf), uint32(len(buf))
		return
	}
	g := b.Platform.(*group)
	sqe.Flags |= ring.SQEBufferSelect
	sqe.BufIndex = g.number
	if r.Flags&driver.Multishot != 0 && !g.single {
		sqe.IOPrio = ring.RecvMultishot
	}
}

// fillSend: MSG_WAITALL has the kernel go on after a part, as a blocking send(2) does.
func fillSend(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	sqe.Opcode, sqe.Addr, sqe.Len, sqe.OpFlags = ring.OpSend, address(r.Buf), uint32(len(r.Buf)), wholly(r.Arg)
}

// wholly are the flags of a send that is over when all is sent.
func wholly(flags uint32) uint32 {
	if flags&unix.MSG_DONTWAIT != 0 {
		return flags
	}
	return flags | unix.MSG_WAITALL
}

// msg is what a request that moves a message keeps in Ext.Platform: used again when the Op is.
type msg struct {
	header unix.Msghdr
	vec    vec
}

// prepareMsg makes the header. Rule: what it points into is on the heap, and hangs from the request until the completion.
func prepareMsg(r *driver.Request) error {
	if len(r.Ext.Vec) > maxVec {
		return unix.EMSGSIZE
	}
	m, ok := r.Ext.Platform.(*msg)
	if !ok {
		m = new(msg)
		r.Ext.Platform = m
	}
	m.header = unix.Msghdr{}
	m.vec.set(r.Ext.Vec)
	m.header.Iov = unsafe.SliceData(m.vec.iov)
	m.header.SetIovlen(len(m.vec.iov))
	of := r.Ext.Message
	if of == nil {
		return nil
	}
	if a := of.Address; a != nil {
		m.header.Name, m.header.Namelen = &a.Raw[0], a.Len
		if r.Kind == driver.RecvMsg {
			m.header.Namelen = driver.AddressBytes
		}
	}
	if len(of.Control) > 0 {
		m.header.Control = &of.Control[0]
		m.header.SetControllen(len(of.Control))
	}
	return nil
}

func fillRecvMsg(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.OpFlags = ring.OpRecvMsg, r.Arg
	fillMsg(sqe, r)
}

func fillSendMsg(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.OpFlags = ring.OpSendMsg, wholly(r.Arg)
	fillMsg(sqe, r)
}

func fillMsg(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	sqe.Addr, sqe.Len = uint64(uintptr(unsafe.Pointer(&r.Ext.Platform.(*msg).header))), 1
}

func finishRecvMsg(r *driver.Request) {
	h := &r.Ext.Platform.(*msg).header
	if of := r.Ext.Message; of != nil {
		of.ControlBytes, of.Flags = int(h.Controllen), uint32(h.Flags)
		if of.Address != nil {
			of.Address.Len = min(h.Namelen, driver.AddressBytes)
		}
	}
}

func prepareSocket(r *driver.Request) error {
	if r.Len != int64(int32(r.Len)) {
		return unix.EINVAL
	}
	return nil
}

func fillSocket(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.FD, sqe.Off, sqe.Len = ring.OpSocket, int32(r.Arg), uint64(r.Arg2|unix.SOCK_CLOEXEC), uint32(r.Len)
}

func fillBind(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpBind
	fillAddress(sqe, r)
}

func fillConnect(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpConnect
	fillAddress(sqe, r)
}

func fillAddress(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	a := r.Ext.Address // on the heap, held by Ext
	sqe.Addr, sqe.Off = uint64(uintptr(unsafe.Pointer(&a.Raw))), uint64(a.Len)
}

func fillListen(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	sqe.Opcode, sqe.Len = ring.OpListen, r.Arg
}

func prepareAccept(r *driver.Request) error {
	if r.Ext != nil && r.Ext.Address != nil {
		r.Ext.Address.Len = driver.AddressBytes
	}
	return nil
}

func fillAccept(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	sqe.Opcode, sqe.OpFlags = ring.OpAccept, unix.SOCK_CLOEXEC
	if r.Flags&driver.Multishot != 0 && r.State.Tries == 0 { // else it is a kernel that can't, see again
		sqe.IOPrio = ring.AcceptMultishot
		return
	}
	if r.Ext != nil && r.Ext.Address != nil {
		a := r.Ext.Address // on the heap, held by Ext
		sqe.Addr, sqe.Off = uint64(uintptr(unsafe.Pointer(&a.Raw))), uint64(uintptr(unsafe.Pointer(&a.Len)))
	}
}

func fillShutdown(sqe *ring.SQE, r *driver.Request) {
	target(sqe, r.FD)
	sqe.Opcode, sqe.Len = ring.OpShutdown, r.Arg
}
