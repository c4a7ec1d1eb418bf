package iocp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// message is the part of a block that a request of Recv's and Send's family uses. Rule: the system uses all of it until the completion; it is part of
// the block, which is pinned, but for what parts has, which the block pins with the buffers.
type message struct {
	parts   []windows.WSABuf
	flags   uint32 // in and out
	header  windows.WSAMsg
	moved   int  // by the calls before this one
	waiting bool // the call only waits until there is something to receive
	shut    bool // this side has ended the receiving, of Read's family too
}

// clear lets go of the buffers.
func (m *message) clear() {
	clear(m.parts)
	m.parts = m.parts[:0]
	if cap(m.parts) > keptParts {
		m.parts = nil
	}
	m.flags, m.header, m.moved, m.waiting, m.shut = 0, windows.WSAMsg{}, 0, false, false
}

// keptParts is the longest list of buffers that a block keeps.
const keptParts = 64

// noMessage is that of requests that have none. It is only read.
var noMessage driver.Message

func messageOf(r *driver.Request) *driver.Message {
	if r.Ext == nil || r.Ext.Message == nil {
		return &noMessage
	}
	return r.Ext.Message
}

// buffersOf is where r gets its buffer from; nil if it has one.
func buffersOf(r *driver.Request) *driver.Buffers {
	if r.Ext == nil {
		return nil
	}
	return r.Ext.Buffers
}

// isNotToWait reports whether b's call is to end now if it has not ended at once.
func (b *block) isNotToWait() bool {
	k := b.r.Kind
	return k >= driver.Recv && k <= driver.SendMsg && b.r.Arg&driver.DontWait != 0
}

// list lists what is left of the request's buffers, and pins it. There is at least one, which may be empty.
func (b *block) list() (first *windows.WSABuf, count uint32) {
	r, m := b.r, &b.message
	m.parts = m.parts[:0]
	room, skip := driver.MaxTransferBytes, m.moved
	add := func(buf []byte) {
		if skip >= len(buf) {
			skip -= len(buf)
			return
		}
		buf = buf[skip:]
		buf = buf[:min(len(buf), room)]
		room, skip = room-len(buf), 0
		if len(buf) > 0 {
			b.pins.pin(unsafe.SliceData(buf))
			m.parts = append(m.parts, windows.WSABuf{Len: uint32(len(buf)), Buf: unsafe.SliceData(buf)})
		}
	}
	switch bufs := buffersOf(r); {
	case bufs != nil:
		add(bufs.Bytes(r.Ext.Shots.Taken))
	case r.Ext != nil && r.Ext.Vec != nil:
		for _, v := range r.Ext.Vec {
			add(v)
		}
	default:
		add(r.Buf)
	}
	if len(m.parts) == 0 {
		m.parts = append(m.parts, windows.WSABuf{})
	}
	b.pins.pin(&m.parts[0])
	return &m.parts[0], uint32(len(m.parts))
}

// listWhole is list of a message with an address and control messages.
func (b *block) listWhole(of *driver.Message) *windows.WSAMsg {
	m := &b.message
	first, count := b.list()
	m.header = windows.WSAMsg{Buffers: first, BufferCount: count, Flags: m.flags,
		Control: windows.WSABuf{Len: uint32(len(of.Control)), Buf: unsafe.SliceData(of.Control)}}
	b.pins.pin(unsafe.SliceData(of.Control))
	if a := of.Address; a != nil && a.Len > 0 {
		b.pins.pin(a)
		m.header.Name, m.header.Namelen = (*syscall.RawSockaddrAny)(unsafe.Pointer(rawAddress(a))), int32(a.Len)
	}
	return &m.header
}

// rawAddress is a as package windows has addresses. Rule: a is longer than what it is taken for.
func rawAddress(a *driver.Address) *windows.RawSockaddrAny {
	return (*windows.RawSockaddrAny)(unsafe.Pointer(&a.Raw))
}

// addressLength is where the system reads the length of a, and stores it: the same bits, with a sign.
func addressLength(a *driver.Address) *int32 { return (*int32)(unsafe.Pointer(&a.Len)) }

// callReceive receives, or first waits for something to receive if the request takes its buffer from a group, so that who waits has none. MSG_WAITALL is the
// driver's: see receivesOn.
func (d *Driver) callReceive(b *block, event windows.Handle) syscall.Errno {
	r, m, of := b.r, &b.message, messageOf(b.r)
	if tooManyBuffers(r) {
		return windows.WSAEMSGSIZE
	}
	if bufs := buffersOf(r); bufs != nil && r.Ext.Shots.Taken == 0 {
		if !b.isNotToWait() && !m.waiting {
			afd, err := d.afd.open(d.port)
			if err != nil {
				return asErrno(err)
			}
			d.callOn(b, afd)
			m.waiting = true
			return asErrno(b.watch(pollIn, event))
		}
		m.waiting = false
		r.Ext.Shots.Taken = bufs.Pick()
	}
	m.flags = r.Arg &^ (driver.DontWait | windows.MSG_WAITALL)
	if len(of.Control) > 0 && !b.protocol.streams() {
		if of.Address != nil {
			of.Address.Len = driver.AddressBytes
		}
		return d.extensions(b).RecvMsg(b.h, b.listWhole(of), &b.ov)
	}
	first, count := b.list()
	if a := of.Address; a != nil && !b.protocol.streams() {
		b.pins.pin(a)
		a.Len = driver.AddressBytes
		return asErrno(windows.WSARecvFrom(b.h, first, count, nil, &m.flags, rawAddress(a), addressLength(a), &b.ov, nil))
	}
	return asErrno(windows.WSARecv(b.h, first, count, nil, &m.flags, &b.ov, nil))
}

// receivesOn: there is something to receive now, or more to come if the buffers are to be full.
func (b *block) receivesOn(errno syscall.Errno, n int) bool {
	r, m := b.r, &b.message
	if m.waiting {
		_, errno = b.ready(errno)
		return errno == 0
	}
	if errno != 0 || n == 0 || r.Arg&windows.MSG_WAITALL == 0 || r.Arg&(windows.MSG_PEEK|driver.DontWait) != 0 || !b.protocol.streams() ||
		buffersOf(r) != nil || m.moved+n >= r.Wanted() {
		return false
	}
	m.moved += n
	return true
}

// received is the result of a receive. A datagram that was longer than the buffers is cut, and the end that this side has made is one, as on other
// systems.
func (b *block) received(errno syscall.Errno, n int) (int, syscall.Errno) {
	r, m, of := b.r, &b.message, messageOf(b.r)
	cut := isCut(errno)
	switch {
	case m.waiting:
		n = 0
		switch _, errno = b.ready(errno); errno {
		case 0: // and is not to go on: see look
			errno = windows.ERROR_OPERATION_ABORTED
		case windows.ERROR_INVALID_HANDLE:
			errno = windows.ERROR_HANDLES_CLOSED
		}
	case cut, errno == windows.WSAESHUTDOWN, errno == windows.WSAEDISCON:
		errno = 0
	}
	n, errno = b.sent(errno, n+m.moved)
	if bufs := buffersOf(r); bufs != nil && r.Ext.Shots.Taken != 0 && n == 0 {
		bufs.Free(r.Ext.Shots.Taken)
		r.Ext.Shots.Taken = 0
	}
	if of == &noMessage {
		return n, errno
	}
	of.ControlBytes, of.Flags = 0, m.flags&^r.Arg
	if m.header.Buffers != nil {
		of.ControlBytes, of.Flags = int(m.header.Control.Len), m.header.Flags&^r.Arg
		if of.Address != nil {
			of.Address.Len = uint32(m.header.Namelen)
		}
	}
	if cut {
		of.Flags |= windows.MSG_TRUNC
	}
	if of.Address != nil && (b.protocol.streams() || errno != 0) {
		*of.Address = driver.Address{}
	}
	return n, errno
}

// callSend sends. A send that is not to wait is not begun if there is no room, so that it needn't be cancelled.
func (d *Driver) callSend(b *block) syscall.Errno {
	r, of := b.r, messageOf(b.r)
	flags := r.Arg &^ driver.DontWait
	switch {
	case tooManyBuffers(r):
		return windows.WSAEMSGSIZE
	case len(of.Control) > 0 && b.protocol.streams():
		return windows.WSAEOPNOTSUPP
	case b.isNotToWait() && !win32.HasRoom(b.h):
		return windows.WSAEWOULDBLOCK
	case len(of.Control) > 0:
		return d.extensions(b).SendMsg(b.h, b.listWhole(of), flags, &b.ov)
	}
	first, count := b.list()
	if a := of.Address; a != nil && a.Len > 0 && !b.protocol.streams() {
		b.pins.pin(a)
		return asErrno(windows.WSASendTo(b.h, first, count, nil, flags, rawAddress(a), int32(a.Len), &b.ov, nil))
	}
	return asErrno(windows.WSASend(b.h, first, count, nil, flags, &b.ov, nil))
}

// sent is the result of a send, and the part of a receive's that is the same.
func (b *block) sent(errno syscall.Errno, n int) (int, syscall.Errno) {
	if errno == windows.ERROR_OPERATION_ABORTED && n == 0 && b.isNotToWait() {
		errno = windows.WSAEWOULDBLOCK
	}
	return n, errno
}
