package rnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

// socket is what connections, listeners and packet connections have in common.
type socket struct {
	m             *ringport.Manager
	f             *ringport.File
	network       string // as it was asked for
	family        int    // AF_*
	local, remote net.Addr
}

// plan says which socket is to be made.
type plan struct {
	manager       *ringport.Manager
	network       string
	family, kind  int
	both          bool // an IPv6 socket for IPv4 too
	local, remote ringport.SocketAddress
	reusePort     bool
	listens       bool // it waits for connections or messages at its address
	control       func(network, address string, c syscall.RawConn) error
	address       string // what control is told
	ofLoop        bool   // the manager may be caller-driven
}

// kindOf is the kind of socket (SOCK_*) that a network has.
func kindOf(network string) int {
	switch network {
	case "udp", "udp4", "udp6", "unixgram":
		return syscall.SOCK_DGRAM
	case "unixpacket":
		return syscall.SOCK_SEQPACKET
	}
	return syscall.SOCK_STREAM
}

// make makes the socket, and binds it if it has a local address.
func (p *plan) make(ctx context.Context) (s socket, err error) {
	m := p.manager
	if m == nil {
		if m, err = ringport.Default(); err != nil {
			return s, err
		}
	}
	if m.CallerDriven() && !p.ofLoop {
		return s, ErrCallerDriven
	}
	open := ringport.Socket(p.family, p.kind, 0)
	fd, err := m.Do(ctx, &open)
	if err != nil {
		return s, err
	}
	h := ringport.Handle(fd)
	s, err = adopt(m, h, p.network)
	if err != nil {
		return s, err
	}
	s.family = p.family
	if err := p.prepare(&s, h); err != nil {
		s.f.Close()
		return socket{}, err
	}
	return s, nil
}

// adopt makes a socket of a handle, which is closed if that fails.
func adopt(m *ringport.Manager, h ringport.Handle, network string) (s socket, err error) {
	f, err := m.NewFile(h, network)
	if err != nil {
		closeSocket(h) // the manager is closed, most likely, and runs no operation any more
		return s, err
	}
	return socket{m: m, f: f, network: network}, nil
}

// prepare sets the options that package net sets, and the local address.
func (p *plan) prepare(s *socket, h ringport.Handle) error {
	if p.family == syscall.AF_INET6 {
		// Who only connects doesn't care; some systems have it one way and can't change it.
		if err := ringport.SetSocketOption(h, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, number(!p.both)); err != nil && p.listens {
			return err
		}
	}
	if p.kind == syscall.SOCK_DGRAM && p.family != syscall.AF_UNIX {
		if err := ringport.SetSocketOption(h, syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1); err != nil {
			return err
		}
	}
	if p.listens {
		if err := p.prepareToListen(h); err != nil {
			return err
		}
	}
	if p.control != nil {
		c, err := s.f.SyscallConn()
		if err == nil {
			err = p.control(p.controlNetwork(), p.address, c)
		}
		if err != nil {
			return err
		}
	}
	if p.local == (ringport.SocketAddress{}) {
		return nil
	}
	bind := ringport.Bind(h, p.local)
	_, err := s.f.Do(&bind)
	return err
}

func (p *plan) prepareToListen(h ringport.Handle) error {
	if p.kind != syscall.SOCK_DGRAM && reuseAddress {
		if err := ringport.SetSocketOption(h, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	if p.reusePort {
		return setReusePort(h)
	}
	return nil
}

// controlNetwork is the network that a Control function is told: with the version of IP.
func (p *plan) controlNetwork() string {
	switch {
	case p.family == syscall.AF_UNIX || p.network[len(p.network)-1] == '4' || p.network[len(p.network)-1] == '6':
		return p.network
	case p.family == syscall.AF_INET:
		return p.network + "4"
	}
	return p.network + "6"
}

// withAddress makes the socket for ap, an IP address; an unspecified one is tried as one for both versions of IP first, if the network
// allows that.
func (p plan) withAddress(ctx context.Context, ap netip.AddrPort) (socket, error) {
	wild := ap.Addr().IsUnspecified() && p.network[len(p.network)-1] != '4' && p.network[len(p.network)-1] != '6'
	if !wild {
		return p.bound(ctx, ap)
	}
	both := p
	both.both = true
	s, err := both.bound(ctx, netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port()))
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EPROTONOSUPPORT) { // there is no IPv6
		return p.bound(ctx, netip.AddrPortFrom(netip.IPv4Unspecified(), ap.Port()))
	}
	return s, err
}

func (p *plan) bound(ctx context.Context, ap netip.AddrPort) (s socket, err error) {
	if p.local, err = socketAddress(ap); err != nil {
		return s, err
	}
	p.family = p.local.Family()
	return p.make(ctx)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// locate finds out the socket's own address.
func (s *socket) locate() {
	if a, err := ringport.LocalAddress(s.handle()); err == nil {
		s.local = netAddr(s.network, a)
	}
}

// handle is the socket's handle. It must not be used once the socket may be closed.
func (s *socket) handle() ringport.Handle { return ringport.Handle(s.f.Fd()) }

// LocalAddr is the socket's own address: a *net.TCPAddr, *net.UDPAddr or *net.UnixAddr.
func (s *socket) LocalAddr() net.Addr { return s.local }

// RemoteAddr is the peer's address, nil if there is no peer.
func (s *socket) RemoteAddr() net.Addr { return s.remote }

// Close ends what is in flight on the socket, which fails with net.ErrClosed unless data moved, waits for that, and closes it.
// See close(2).
func (s *socket) Close() error { return s.failed("close", s.f.Close()) }

// SetDeadline sets the time at which reads and writes end, those that wait now and those that come later, with an error that matches
// os.ErrDeadlineExceeded. The zero time means never.
func (s *socket) SetDeadline(t time.Time) error { return s.failedHere("set", s.f.SetDeadline(t)) }

// SetReadDeadline is SetDeadline for reads only.
func (s *socket) SetReadDeadline(t time.Time) error {
	return s.failedHere("set", s.f.SetReadDeadline(t))
}

// SetWriteDeadline is SetDeadline for writes only.
func (s *socket) SetWriteDeadline(t time.Time) error {
	return s.failedHere("set", s.f.SetWriteDeadline(t))
}

// SyscallConn gives access to the socket's descriptor for calls that this package lacks. Functions given to Read and Write expect, as with
// package net, that calls on the descriptor don't block; the first makes it non-blocking (O_NONBLOCK), after which reads and writes
// that wait cost a little more.
func (s *socket) SyscallConn() (syscall.RawConn, error) {
	raw, err := s.f.SyscallConn()
	if err != nil {
		return nil, s.failedHere("raw-control", err)
	}
	return &rawConn{s, raw}, nil
}

type rawConn struct {
	s   *socket
	raw syscall.RawConn
}

func (c *rawConn) Control(do func(fd uintptr)) error {
	return c.s.failedHere("raw-control", c.raw.Control(do))
}

func (c *rawConn) Read(try func(fd uintptr) bool) error {
	if err := unblock(c.raw); err != nil {
		return c.s.failedHere("raw-read", err)
	}
	return c.s.failedHere("raw-read", c.raw.Read(try))
}

func (c *rawConn) Write(try func(fd uintptr) bool) error {
	if err := unblock(c.raw); err != nil {
		return c.s.failedHere("raw-write", err)
	}
	return c.s.failedHere("raw-write", c.raw.Write(try))
}

// unblock makes the socket non-blocking.
func unblock(raw syscall.RawConn) (err error) {
	if closed := raw.Control(func(fd uintptr) { err = setNonblock(fd) }); closed != nil {
		return closed
	}
	return err
}
