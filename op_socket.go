package ringport

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/ringport/ringport/internal/driver"
)

// SocketAddress is the address of a socket: an IP address with a port, the path of a Unix socket, or another that the system may answer.
// The zero SocketAddress is none.
type SocketAddress driver.Address

// ErrInvalidAddress says that there is no such address: an invalid IP address, a zone that is no number, a path that is too long for the
// system (sockaddr_un has room for about 100 bytes) or has a zero byte in it.
var ErrInvalidAddress = errors.New("invalid socket address")

// IPAddress is the address ap, of family AF_INET if it is an IPv4 address, AF_INET6 otherwise. Its zone must be the number of an
// interface, which package net's Interface.Index has for a name.
func IPAddress(ap netip.AddrPort) (a SocketAddress, err error) {
	if !(*driver.Address)(&a).SetIP(ap) { // in its place: a copy takes as long as this
		return a, fmt.Errorf("%w: %s", ErrInvalidAddress, ap)
	}
	return a, nil
}

// UnixAddress is the address of the Unix socket at path. On Linux, "@" at its beginning stands for the zero byte that an abstract name
// begins with. See unix(7).
func UnixAddress(path string) (SocketAddress, error) {
	var a driver.Address
	if !a.SetPath(path) {
		return SocketAddress{}, fmt.Errorf("%w: %q", ErrInvalidAddress, path)
	}
	return SocketAddress(a), nil
}

// Family is AF_INET, AF_INET6, AF_UNIX or another; 0, AF_UNSPEC, of none.
func (a SocketAddress) Family() int { return (*driver.Address)(&a).Family() }

// AddrPort returns the IP address and port; ok is false if a is none.
func (a SocketAddress) AddrPort() (ap netip.AddrPort, ok bool) { return (*driver.Address)(&a).IP() }

// Path returns the path of a Unix socket, "" of one without a name; ok is false if a is none.
func (a SocketAddress) Path() (path string, ok bool) { return (*driver.Address)(&a).Path() }

// String is the address as [netip.AddrPort] writes it, or the path.
func (a SocketAddress) String() string {
	if ap, ok := a.AddrPort(); ok {
		return ap.String()
	}
	if path, ok := a.Path(); ok {
		return path
	}
	return "address of family " + strconv.Itoa(a.Family())
}

// The directions that [Shutdown] ends, on every system.
const (
	ShutdownRead  = 0
	ShutdownWrite = 1
	ShutdownBoth  = 2
)

// Socket makes a socket of a domain (AF_*), a kind (SOCK_*) and a protocol (0: the usual one). The result is its handle, which belongs to
// the caller and is closed with [CloseHandle]; programs started later don't inherit it. See socket(2), WSASocket.
func Socket(domain, kind, protocol int) Op {
	return Op{req: driver.Request{Kind: driver.Socket, Arg: uint32(domain), Arg2: uint32(kind), Len: int64(protocol)}}
}

// Bind gives a socket its local address. See bind(2).
func Bind(h Handle, local SocketAddress) Op {
	return Op{req: driver.Request{Kind: driver.Bind, FD: h, Ext: &driver.Ext{Address: (*driver.Address)(&local)}}}
}

// Listen makes a socket one that accepts connections, of which backlog may wait for that. See listen(2).
func Listen(h Handle, backlog int) Op {
	return Op{req: driver.Request{Kind: driver.Listen, FD: h, Arg: uint32(max(backlog, 0))}}
}

// Accept waits for a connection to a socket that listens. The result is the connection's handle, which belongs to the caller; programs
// started later don't inherit it. The peer's address is stored in *peer, unless that is nil. A cancelled Accept may have a connection, which is
// then its result. On Windows it is attached to the manager that accepts it, unless [Op.Unattached] says otherwise. The pool makes the listener
// non-blocking (O_NONBLOCK), as package net does. See accept(2), AcceptEx.
func Accept(h Handle, peer *SocketAddress) Op {
	var ext *driver.Ext
	if peer != nil {
		ext = &driver.Ext{Address: (*driver.Address)(peer)}
	}
	return Op{req: driver.Request{Kind: driver.Accept, FD: h, Ext: ext}}
}

// Unattached has an [Accept] or [AcceptMany], one that is not in flight, leave its connections unattached, and returns op. On Windows a handle
// belongs to one completion port for good, so that a connection which one manager accepts and another is to use must be such; that
// one's [Manager.Attach] comes first then, before any operation on it. Elsewhere it makes no difference. Operations of other kinds fail with ErrInvalidOp.
func (op *Op) Unattached() *Op {
	if op.req.Kind != driver.Accept {
		op.req.Kind = driver.KindCount // none: whoever starts op is told
	}
	op.req.Flags |= driver.Unattached
	return op
}

// Connect connects a socket to a peer, and waits until it is. A socket whose Connect failed or was cancelled is good for nothing but being
// closed. The pool makes the socket non-blocking (O_NONBLOCK), as package net does. See connect(2), ConnectEx.
func Connect(h Handle, peer SocketAddress) Op {
	return Op{req: driver.Request{Kind: driver.Connect, FD: h, Ext: &driver.Ext{Address: (*driver.Address)(&peer)}}}
}

// DontWait is the flag MSG_DONTWAIT of operations on sockets, also on Windows, which has no such flag: an operation that would have to wait
// ends at once, with EAGAIN or WSAEWOULDBLOCK.
const DontWait = driver.DontWait

// Recv receives into buf from a connected socket. The result is the number of bytes, and 0 with io.EOF when the peer has ended the
// stream; for datagrams, of which an empty one is no end, there is [RecvFrom]. Flags are MSG_*; with [DontWait] it does not wait, with MSG_WAITALL
// it waits until buf is full. See recv(2), WSARecv.
func Recv(h Handle, buf []byte, flags uint32) Op {
	return Op{req: driver.Request{Kind: driver.Recv, FD: h, Buf: capped(buf), Arg: flags}}
}

// Send sends buf through a connected socket. It is done when all of it has left, or failed; the result is the number of bytes that have. Flags
// are MSG_*; with [DontWait] it sends what there is room for, and fails if there is none. In what order several operations that are in flight on one
// stream do their work is not promised: start the next when this one is done, or use a chain. See send(2), WSASend.
func Send(h Handle, buf []byte, flags uint32) Op {
	return Op{req: driver.Request{Kind: driver.Send, FD: h, Buf: capped(buf), Arg: flags}}
}

// SendZeroCopy is [Send] without a copy, where the system has that: io_uring, since Linux 6.3, for TCP and UDP. The buffer is the system's until the
// peer has acknowledged the data, and so long the operation is in flight: a round trip, and 40 ms more where the peer waits for more data before it
// acknowledges. So start the next one with another buffer meanwhile, and leave short messages to Send. Elsewhere it is Send; [Op.ZeroCopied]
// tells. It pays for buffers from about 32 KiB on that leave by a network card, not on one machine, where the system copies after all
// (docs/decisions.md). A cancel, by its context, Cancel or Close, that finds data of a stream on the way resets the connection, since only so the
// buffer comes back for sure: the result is its cause, beside the number of bytes that were queued, which the peer need not have got. See
// io_uring_prep_send_zc(3).
func SendZeroCopy(h Handle, buf []byte, flags uint32) Op {
	return Op{req: driver.Request{Kind: driver.Send, Flags: driver.ZeroCopy, FD: h, Buf: capped(buf), Arg: flags}}
}

// RecvFrom receives one datagram into buf, and stores its sender's address in *from, unless that is nil. The result is the number of bytes,
// 0 of an empty datagram; what is too long is cut, see [Op.Received]. Flags are MSG_*. See recvfrom(2), WSARecvFrom.
func RecvFrom(h Handle, buf []byte, from *SocketAddress, flags uint32) Op {
	return RecvMsg(h, [][]byte{capped(buf)}, nil, from, flags)
}

// SendTo sends buf to a peer as one datagram. Flags are MSG_*. See sendto(2), WSASendTo.
func SendTo(h Handle, buf []byte, to SocketAddress, flags uint32) Op {
	return SendMsg(h, [][]byte{capped(buf)}, nil, &to, flags)
}

// RecvMsg receives a message into several buffers, one after the other, its control messages into control, and stores its sender's address in
// *from, unless that is nil. The result is the number of bytes; 0 is the end of a stream, or an empty datagram. [Op.Received] has the rest.
// Flags are MSG_*. See recvmsg(2), cmsg(3), WSARecvMsg.
func RecvMsg(h Handle, bufs [][]byte, control []byte, from *SocketAddress, flags uint32) Op {
	return message(driver.RecvMsg, 0, h, bufs, control, from, flags)
}

// SendMsg sends several buffers, one after the other, as one message, with control messages, to a peer, or where the socket is connected
// to, if to is nil. Like [Send] it is done when all is sent, and has no order among several. Flags are MSG_*. See sendmsg(2), cmsg(3), WSASendMsg.
func SendMsg(h Handle, bufs [][]byte, control []byte, to *SocketAddress, flags uint32) Op {
	return message(driver.SendMsg, 0, h, bufs, control, to, flags)
}

// SendMsgZeroCopy is [SendMsg] without a copy, where the system has that. See [SendZeroCopy].
func SendMsgZeroCopy(h Handle, bufs [][]byte, control []byte, to *SocketAddress, flags uint32) Op {
	return message(driver.SendMsg, driver.ZeroCopy, h, bufs, control, to, flags)
}

// ZeroCopied reports, of a [SendZeroCopy] or [SendMsgZeroCopy] that is done, that the system has not copied the data. It is false if some of it was.
func (op *Op) ZeroCopied() bool { return op.req.ZeroCopied }

func message(k driver.Kind, how driver.Flags, h Handle, bufs [][]byte, control []byte, a *SocketAddress, flags uint32) Op {
	if bufs == nil {
		bufs = [][]byte{}
	}
	return Op{req: driver.Request{Kind: k, Flags: how, FD: h, Arg: flags,
		Ext: &driver.Ext{Vec: bufs, Message: &driver.Message{Address: (*driver.Address)(a), Control: control}}}}
}

// SetMessage gives a [RecvMsg] or [SendMsg], one that is not in flight, other buffers and control messages, so that the same Op moves one
// message after another without an allocation. It does nothing to operations of other kinds.
func (op *Op) SetMessage(bufs [][]byte, control []byte) {
	if ext := op.req.Ext; ext != nil && ext.Message != nil {
		ext.Vec, ext.Message.Control = bufs, control
	}
}

// Received returns, of a [RecvMsg] or [RecvFrom] that is done, how many bytes of control messages it received, and the message's flags, such as
// MSG_TRUNC of one that was too long.
func (op *Op) Received() (controlBytes int, flags uint32) {
	if ext := op.req.Ext; ext != nil && ext.Message != nil {
		return ext.Message.ControlBytes, ext.Message.Flags
	}
	return 0, 0
}

// Shutdown ends one direction of a connection, or both: ShutdownRead, ShutdownWrite, ShutdownBoth. See shutdown(2).
func Shutdown(h Handle, direction int) Op {
	return Op{req: driver.Request{Kind: driver.Shutdown, FD: h, Arg: uint32(direction)}}
}

// LocalAddress is the address that a socket is bound to. It never waits. See getsockname(2).
func LocalAddress(h Handle) (SocketAddress, error) { return askAddress("getsockname", h, localAddress) }

// RemoteAddress is the address that a socket is connected to. It never waits. See getpeername(2).
func RemoteAddress(h Handle) (SocketAddress, error) {
	return askAddress("getpeername", h, remoteAddress)
}

func askAddress(what string, h Handle, ask func(Handle, *driver.Address) error) (SocketAddress, error) {
	var a driver.Address
	if err := ask(h, &a); err != nil {
		return SocketAddress{}, socketError(what, h, err)
	}
	return SocketAddress(a), nil
}

// SocketOption is the value of one of a socket's options that are numbers. Level is SOL_*, IPPROTO_*; name is SO_*, TCP_* and the like. It
// never waits. See getsockopt(2).
func SocketOption(h Handle, level, name int) (value int, err error) {
	if value, err = socketOption(h, level, name); err != nil {
		return 0, socketError("getsockopt", h, err)
	}
	return value, nil
}

// SetSocketOption sets one of a socket's options that are numbers, 0 and 1 for false and true. It never waits. See setsockopt(2).
func SetSocketOption(h Handle, level, name, value int) error {
	if err := setSocketOption(h, level, name, value); err != nil {
		return socketError("setsockopt", h, err)
	}
	return nil
}

func socketError(what string, h Handle, err error) error {
	op := Op{req: driver.Request{FD: h}}
	return &OpError{Op: what, Name: op.displayName(), Err: err}
}
