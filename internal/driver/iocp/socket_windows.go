package iocp

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// protocol is what kind of socket one is, as WSASocket takes it, and whose it is.
type protocol struct {
	family, kind, number int32
	provider             uint32 // the catalog's number
}

// streams reports whether what is sent has no boundaries.
func (p *protocol) streams() bool { return p.kind == windows.SOCK_STREAM }

// describeSocket finds out whether h is a socket, and which. On Wine everything has a base that is asked for.
func (t *traits) describeSocket(h windows.Handle) {
	if win32.StartWinsock() != nil {
		return
	}
	info, err := win32.ProtocolOf(h)
	if err != nil {
		return
	}
	t.socket, _ = win32.BaseSocket(h)
	t.protocol = protocol{info.AddressFamily, info.SocketType, info.Protocol, info.CatalogEntryId}
}

// providers are the extension functions of those that there are. They have a lock of their own in both modes, since workers need them as well.
type providers struct {
	mu    sync.Mutex
	known map[uint32]*win32.SocketExtensions
}

// extensions are those of b's socket.
func (d *Driver) extensions(b *block) *win32.SocketExtensions {
	p := &d.providers
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.known[b.protocol.provider]
	if x == nil {
		x = win32.ExtensionsOf(b.h)
		if p.known == nil {
			p.known = map[uint32]*win32.SocketExtensions{}
		}
		p.known[b.protocol.provider] = x
	}
	return x
}

// newSocket makes a socket, attached or not.
func (d *Driver) newSocket(p protocol, attached bool) (windows.Handle, *traits, error) {
	if err := win32.StartWinsock(); err != nil {
		return 0, nil, err
	}
	h, err := windows.WSASocket(p.family, p.kind, p.number, nil, 0, windows.WSA_FLAG_OVERLAPPED|windows.WSA_FLAG_NO_HANDLE_INHERIT)
	if err != nil {
		return 0, nil, err
	}
	t := traits{known: true, plain: true}
	t.describeSocket(h)
	if t.protocol.kind == windows.SOCK_DGRAM {
		// Else a datagram that nobody wanted fails a receive that may be for others. What can't be set needn't be.
		var off, n uint32
		for _, which := range []uint32{windows.SIO_UDP_CONNRESET, windows.SIO_UDP_NETRESET} {
			windows.WSAIoctl(h, which, (*byte)(unsafe.Pointer(&off)), uint32(unsafe.Sizeof(off)), nil, 0, &n, nil, 0)
		}
	}
	if attached {
		if t, err = d.attach(h, t); err != nil {
			windows.Closesocket(h)
			return 0, nil, err
		}
	}
	return h, &t, nil
}

func execSocket(d *Driver, b *block) (int, error) {
	r := b.r
	if r.Len != int64(int32(r.Len)) {
		return 0, windows.WSAEINVAL
	}
	h, t, err := d.newSocket(protocol{family: int32(r.Arg), kind: int32(r.Arg2), number: int32(r.Len)}, true)
	b.opened = t
	return int(h), err
}

// needSocket says what is wrong with a handle that is none. It may wait behind a synchronous call on the same handle if nothing is known of
// that yet.
func (b *block) needSocket() error {
	if !isHandle(b.h) {
		return windows.ERROR_INVALID_HANDLE
	}
	if !b.known {
		if err := win32.IsOpen(b.h); err != nil {
			return err
		}
		b.describe(b.h)
	}
	if b.socket == 0 {
		return windows.WSAENOTSOCK
	}
	return nil
}

// needAddress is the address that a request of b's is about.
func (b *block) needAddress() ([]byte, error) {
	if a := b.r.Ext.Address; a != nil && a.Len > 0 && a.Len <= driver.AddressBytes {
		return a.Raw[:a.Len], nil
	}
	return nil, windows.WSAEINVAL
}

func execBind(_ *Driver, b *block) (int, error) {
	if err := b.needSocket(); err != nil {
		return 0, err
	}
	to, err := b.needAddress()
	if err != nil {
		return 0, err
	}
	return 0, win32.BindTo(b.h, to)
}

func execListen(_ *Driver, b *block) (int, error) {
	if err := b.needSocket(); err != nil {
		return 0, err
	}
	return 0, windows.Listen(b.h, int(b.r.Arg))
}

// execShutdown: receives that wait have had the end, as on other systems.
func execShutdown(d *Driver, b *block) (int, error) {
	if err := b.needSocket(); err != nil {
		return 0, err
	}
	if err := windows.Shutdown(b.h, int(b.r.Arg)); err != nil {
		return 0, err
	}
	if b.r.Arg != windows.SHUT_WR {
		d.endReceives(b.h)
	}
	return 0, nil
}

// endReceives ends those that wait on h.
func (d *Driver) endReceives(h windows.Handle) {
	d.lock()
	defer d.unlock()
	for _, b := range d.blocks {
		if b.r == nil || b.h != h || !b.r.Kind.Reads() {
			continue
		}
		switch b.where {
		case submitting: // the submitter looks again
			b.message.shut = true
		case pending:
			b.message.shut = true
			d.cancelPending(b)
		}
	}
}

// startOnSocket makes an overlapped call, or leaves it to a worker if no packet would report its end.
func (d *Driver) startOnSocket(r *driver.Request) bool {
	d.lock()
	t, ok := d.target(r.FD)
	switch {
	case !ok, !isHandle(t.h):
		r.Err = windows.ERROR_INVALID_HANDLE
	case !t.attached:
		d.toWorker(r, t, true)
		d.unlock()
		return false
	case t.socket == 0:
		r.Err = windows.WSAENOTSOCK
	default:
		b := d.take(r, submitting, t)
		d.unlock()
		errno := d.call(b, 0)
		d.lock()
		done := d.issued(b, errno) != nil
		d.unlock()
		return done
	}
	d.unlock()
	return true
}

// execOnSocket makes the same calls, and waits for each.
func execOnSocket(d *Driver, b *block) (int, error) {
	if err := b.needSocket(); err != nil {
		return 0, err
	}
	if err := b.needEvent(); err != nil {
		return 0, err
	}
	for {
		errno, n := windows.ERROR_OPERATION_ABORTED, 0
		if d.enter(b) {
			errno = d.call(b, b.event|1)
			if errno == windows.ERROR_IO_PENDING {
				if b.isNotToWait() {
					b.cancelIO(b.on)
				}
				errno = b.errnoOf(b.wait())
			}
			n = int(b.ov.InternalHigh)
			d.leave(b)
		}
		if !d.goesOn(b, errno, n) {
			n, errno = d.socketResult(b, errno, n)
			return n, errnoError(errno)
		}
	}
}

// call makes the call that b's request takes now. Rule: what the system uses until the packet comes or the event is set is part of the block, which
// is pinned, or pinned by it. The lock may be held or not: none of these calls waits.
func (d *Driver) call(b *block, event windows.Handle) syscall.Errno {
	b.pins.unpin()
	b.ov = windows.Overlapped{HEvent: event}
	d.callOn(b, b.h)
	switch b.r.Kind {
	case driver.Accept:
		return d.callAccept(b)
	case driver.Connect:
		return d.callConnect(b)
	case driver.Recv, driver.RecvMsg:
		return d.callReceive(b, event)
	}
	return d.callSend(b)
}

// callOn says what b's next call is made on. Who interrupts a worker's call looks at that with workers.mu.
func (d *Driver) callOn(b *block, h windows.Handle) {
	if b.on != h {
		d.workers.mu.Lock()
		b.on = h
		d.workers.mu.Unlock()
	}
}

// goesOn reports whether b's request takes another call after one that has ended so.
func (d *Driver) goesOn(b *block, errno syscall.Errno, n int) bool {
	switch b.r.Kind {
	case driver.Recv, driver.RecvMsg:
		return b.receivesOn(errno, n)
	case driver.Accept: // who has left before he was accepted is not the caller's affair
		if errno != windows.WSAECONNRESET && errno != windows.ERROR_NETNAME_DELETED && errno != windows.WSAENOTCONN { // the last: Wine
			return false
		}
		b.incoming.drop()
		return true
	}
	return false
}

// socketResult is what the last call's end means for the request.
func (d *Driver) socketResult(b *block, errno syscall.Errno, n int) (int, syscall.Errno) {
	switch b.r.Kind {
	case driver.Accept:
		return d.accepted(b, errno)
	case driver.Connect:
		if errno == 0 { // Shutdown and getpeername want that
			errno = asErrno(windows.Setsockopt(b.h, windows.SOL_SOCKET, windows.SO_UPDATE_CONNECT_CONTEXT, nil, 0))
		}
		return 0, errno
	case driver.Recv, driver.RecvMsg:
		return b.received(errno, n)
	}
	return b.sent(errno, n)
}

// incoming is what an Accept needs until it has its connection.
type incoming struct {
	socket windows.Handle // made beforehand, for the connection; 0: there is none
	traits *traits
	names  win32.AcceptNames
	got    uint32 // bytes received with the connection: none
}

// drop closes the socket if it has got no connection.
func (in *incoming) drop() {
	if in != nil && in.socket != 0 {
		windows.Closesocket(in.socket)
		in.socket, in.traits = 0, nil
	}
}

// callAccept asks first whether the socket listens: Wine's AcceptEx waits for ever on one that doesn't.
func (d *Driver) callAccept(b *block) syscall.Errno {
	if !win32.Listens(b.h) {
		return windows.WSAEINVAL
	}
	if b.incoming == nil {
		b.incoming = new(incoming)
	}
	in := b.incoming
	b.pins.pin(in)
	var err error
	if in.socket, in.traits, err = d.newSocket(b.protocol, b.r.Flags&driver.Unattached == 0); err != nil {
		return asErrno(err)
	}
	return d.extensions(b).AcceptEx(b.h, in.socket, &in.names, &in.got, &b.ov)
}

// accepted hands over the connection, which may be there though the Accept was cancelled.
func (d *Driver) accepted(b *block, errno syscall.Errno) (int, syscall.Errno) {
	in := b.incoming
	if errno == 0 {
		errno = asErrno(windows.Setsockopt(in.socket, windows.SOL_SOCKET, windows.SO_UPDATE_ACCEPT_CONTEXT,
			(*byte)(unsafe.Pointer(&b.h)), int32(unsafe.Sizeof(b.h))))
	}
	if errno != 0 {
		in.drop()
		return 0, errno
	}
	if b.r.Ext != nil && b.r.Ext.Address != nil {
		a := b.r.Ext.Address
		*a = driver.Address{}
		a.Len = uint32(copy(a.Raw[:], d.extensions(b).AcceptedFrom(&in.names)))
	}
	h := in.socket
	if in.traits.attached {
		d.handles.set(h, in.traits)
	} else { // whoever attaches it closes it, past us: nothing may be known of the number, not of an earlier handle either
		d.handles.forget(h)
	}
	in.socket, in.traits = 0, nil
	return int(h), 0
}

// startConnect: ConnectEx is for streams of IP. A datagram socket is connected at once; a Unix socket by a call that may wait.
func (d *Driver) startConnect(r *driver.Request) bool {
	d.lock()
	t, ok := d.target(r.FD)
	if ok && t.socket != 0 && (!t.protocol.streams() || t.protocol.family == windows.AF_UNIX) {
		waits := t.protocol.streams()
		if waits {
			d.toWorker(r, t, true)
		}
		d.unlock()
		return !waits && d.startHere(r)
	}
	d.unlock()
	return d.startOnSocket(r)
}

func execConnect(d *Driver, b *block) (int, error) {
	if err := b.needSocket(); err != nil {
		return 0, err
	}
	if b.protocol.streams() && b.protocol.family != windows.AF_UNIX {
		return execOnSocket(d, b)
	}
	to, err := b.needAddress()
	if err != nil {
		return 0, err
	}
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	return 0, win32.ConnectTo(b.h, to)
}

// callConnect binds the socket first, if it is not bound, as ConnectEx wants it: to any address.
func (d *Driver) callConnect(b *block) syscall.Errno {
	to, err := b.needAddress()
	if err != nil {
		return asErrno(err)
	}
	if !win32.IsBound(b.h) {
		anywhere := driver.Address{Len: uint32(len(to))}
		copy(anywhere.Raw[:], b.r.Ext.Address.Raw[:2]) // the family; the rest is zero
		if err := win32.BindTo(b.h, anywhere.Raw[:anywhere.Len]); err != nil {
			return asErrno(err)
		}
	}
	return d.extensions(b).ConnectEx(b.h, to, &b.ov)
}
