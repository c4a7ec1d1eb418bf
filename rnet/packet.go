package rnet

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/neterr"
)

// PacketConn sends and receives messages: UDP or Unix datagrams. Dial makes one that is connected to a peer, ListenPacket one that is not.
// Its methods may be called from several goroutines at once; those without a net.Addr allocate nothing.
type PacketConn struct {
	socket
	messages *sync.Pool // of *message
}

var (
	_ net.PacketConn = (*PacketConn)(nil)
	_ net.Conn       = (*PacketConn)(nil)
	_ syscall.Conn   = (*PacketConn)(nil)
)

// message is what a call needs to move one.
type message struct {
	in, out ringport.Op
	vec     [1][]byte
	peer    ringport.SocketAddress
}

func newPacketConn(s socket) *PacketConn {
	return &PacketConn{s, &sync.Pool{New: func() any {
		m := new(message)
		m.in = ringport.RecvMsg(0, m.vec[:], nil, &m.peer, 0)
		m.out = ringport.SendMsg(0, m.vec[:], nil, &m.peer, 0)
		return m
	}}}
}

// WithContext returns a view of the socket: the same one, whose calls end when ctx does, with an error that wraps both ctx.Err()
// and context.Cause(ctx). Closing a view closes the socket.
func (c *PacketConn) WithContext(ctx context.Context) *PacketConn {
	view := *c
	view.f = c.f.WithContext(ctx)
	return &view
}

// receive receives a message.
func (c *PacketConn) receive(b, oob []byte) (n, oobn, flags int, from ringport.SocketAddress, err error) {
	m := c.messages.Get().(*message)
	m.vec[0] = b
	m.in.SetMessage(m.vec[:], oob)
	n, err = c.f.DoRead(&m.in)
	controlBytes, f := m.in.Received()
	from = m.peer
	c.release(m, &m.in)
	if err != nil {
		return n, 0, 0, from, c.failed("read", err)
	}
	return n, controlBytes, int(f), from, nil
}

// send sends a message to the peer, or where the socket is connected to, if that is none.
func (c *PacketConn) send(b, oob []byte, to *ringport.SocketAddress) (n int, err error) {
	m := c.messages.Get().(*message)
	m.vec[0], m.peer = b, *to
	m.out.SetMessage(m.vec[:], oob)
	n, err = c.f.DoWrite(&m.out)
	c.release(m, &m.out)
	return n, err
}

// release lets go of the caller's buffers.
func (c *PacketConn) release(m *message, op *ringport.Op) {
	m.vec[0], m.peer = nil, ringport.SocketAddress{}
	op.SetMessage(m.vec[:], nil)
	c.messages.Put(m)
}

// Read receives a message into p; of one that is too long the rest is lost. See recvmsg(2).
func (c *PacketConn) Read(p []byte) (int, error) {
	n, err := c.f.RecvFrom(p, nil)
	return n, c.failed("read", err)
}

// ReadFrom is Read, and returns the sender's address: a *net.UDPAddr or *net.UnixAddr.
func (c *PacketConn) ReadFrom(p []byte) (int, net.Addr, error) {
	var from ringport.SocketAddress
	n, err := c.f.RecvFrom(p, &from)
	if err != nil {
		return n, nil, c.failed("read", err)
	}
	return n, c.sender(from), nil
}

// sender is who sent a message; nil if it is a Unix socket without a name.
func (c *PacketConn) sender(from ringport.SocketAddress) net.Addr {
	if path, ok := from.Path(); ok && (path == "" || path == "@") || from == (ringport.SocketAddress{}) {
		return nil
	}
	return netAddr(c.network, from)
}

// ReadFromAddrPort is Read, and returns the sender's IP address, which is one in IPv6's form if the socket is for both versions.
func (c *PacketConn) ReadFromAddrPort(p []byte) (n int, from netip.AddrPort, err error) {
	var peer ringport.SocketAddress
	if n, err = c.f.RecvFrom(p, &peer); err != nil {
		return n, from, c.failed("read", err)
	}
	from, _ = peer.AddrPort()
	return n, named(from), nil
}

// ReadMsg receives a message into p and its control messages into oob. It returns how many bytes it has of both, the message's flags
// (MSG_TRUNC and the like) and the sender's address. See recvmsg(2), cmsg(3).
func (c *PacketConn) ReadMsg(p, oob []byte) (n, oobn, flags int, from net.Addr, err error) {
	n, oobn, flags, peer, err := c.receive(p, oob)
	if err == nil {
		from = c.sender(peer)
	}
	return n, oobn, flags, from, err
}

// ReadMsgAddrPort is ReadMsg with the address as ReadFromAddrPort has it.
func (c *PacketConn) ReadMsgAddrPort(p, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error) {
	n, oobn, flags, peer, err := c.receive(p, oob)
	if err == nil {
		from, _ = peer.AddrPort()
		from = named(from)
	}
	return n, oobn, flags, from, err
}

// Write sends p as one message to where the socket is connected to. See sendmsg(2).
func (c *PacketConn) Write(p []byte) (int, error) {
	n, err := c.f.SendTo(p, &ringport.SocketAddress{})
	return n, c.failed("write", err)
}

// WriteTo sends p as one message to an address, a *net.UDPAddr or *net.UnixAddr. net.ErrWriteToConnected if the socket is connected.
func (c *PacketConn) WriteTo(p []byte, to net.Addr) (int, error) {
	n, _, err := c.WriteMsg(p, nil, to)
	return n, err
}

// WriteToAddrPort is WriteTo for an IP address.
func (c *PacketConn) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	n, _, err := c.WriteMsgAddrPort(p, nil, to)
	return n, err
}

// WriteMsg sends p and the control messages in oob as one message to an address, or where the socket is connected to, if that is nil. It
// returns how many bytes of both were sent. See sendmsg(2), cmsg(3).
func (c *PacketConn) WriteMsg(p, oob []byte, to net.Addr) (n, oobn int, err error) {
	var peer ringport.SocketAddress
	if to != nil {
		if err = c.receiver(&peer, to); err != nil {
			return 0, 0, c.failedTo(to, err)
		}
	}
	n, oobn, err = c.sendMsg(p, oob, &peer)
	return n, oobn, c.failedTo(to, err)
}

// WriteMsgAddrPort is WriteMsg for an IP address; one that is not valid means where the socket is connected to.
func (c *PacketConn) WriteMsgAddrPort(p, oob []byte, to netip.AddrPort) (n, oobn int, err error) {
	var peer ringport.SocketAddress
	if to.IsValid() {
		err = c.receiverIP(&peer, to)
	}
	if err == nil {
		n, oobn, err = c.sendMsg(p, oob, &peer)
	}
	if err != nil {
		return n, oobn, c.failedTo(net.UDPAddrFromAddrPort(to), err)
	}
	return n, oobn, nil
}

func (c *PacketConn) sendMsg(p, oob []byte, peer *ringport.SocketAddress) (n, oobn int, err error) {
	if len(oob) == 0 {
		n, err = c.f.SendTo(p, peer)
		return n, 0, err
	}
	if n, err = c.send(p, oob, peer); err != nil {
		return n, 0, err
	}
	return n, len(oob), nil
}

// receiver makes peer the address to send to. It is filled in where it is, as are all on the way of a message: to copy one takes longer than
// to make it.
func (c *PacketConn) receiver(peer *ringport.SocketAddress, to net.Addr) (err error) {
	switch to := to.(type) {
	case *net.UDPAddr:
		if !isUnix(c.network) && to != nil {
			return c.receiverIP(peer, to.AddrPort())
		}
	case *net.UnixAddr:
		if isUnix(c.network) && to != nil {
			if c.remote != nil {
				return net.ErrWriteToConnected
			}
			*peer, err = ringport.UnixAddress(to.Name)
			return err
		}
	}
	return syscall.EINVAL
}

func (c *PacketConn) receiverIP(peer *ringport.SocketAddress, to netip.AddrPort) (err error) {
	if c.remote != nil {
		return net.ErrWriteToConnected
	}
	fit, ok := fits(to, c.family)
	if !ok {
		return &net.AddrError{Err: "address of another version of IP than the socket's", Addr: to.String()}
	}
	*peer, err = ringport.IPAddress(numbered(fit))
	return err
}

// failedTo is err of a message to an address; nil: the peer's.
func (c *PacketConn) failedTo(to net.Addr, err error) error {
	if err == nil {
		return nil
	}
	if to == nil {
		to = c.remote
	}
	return &net.OpError{Op: "write", Net: c.network, Source: c.local, Addr: to, Err: neterr.Cause(err)}
}
