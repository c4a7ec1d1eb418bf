package rnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/neterr"
)

// ListenConfig says how to listen. The zero value is right for most. Its fields mean what those of net.ListenConfig do.
type ListenConfig struct {
	// Control, if not nil, is called with the socket before it gets its address.
	Control func(network, address string, c syscall.RawConn) error

	// KeepAlive is after how long without traffic the system begins to ask the peers of accepted connections; zero means 15 s, a
	// negative value never. It is ignored if KeepAliveConfig.Enable is true.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// ReusePort lets several sockets listen at the same address, among which Linux divides the connections (SO_REUSEPORT).
	// errors.ErrUnsupported on Windows.
	ReusePort bool

	// Manager runs the operations; nil: ringport.Default. It must be a threaded one ([ErrCallerDriven]).
	Manager *ringport.Manager

	ofLoop bool // the manager is caller-driven, and its owner calls
}

// Listen listens on a network, "tcp", "tcp4", "tcp6", "unix" or "unixpacket", at an address as net.Listen takes it, with the default
// [ListenConfig]. The listener is a *[Listener].
func Listen(network, address string) (net.Listener, error) {
	return new(ListenConfig).Listen(context.Background(), network, address)
}

// ListenPacket waits for messages on a network, "udp", "udp4", "udp6" or "unixgram", at an address as net.ListenPacket takes it, with the
// default [ListenConfig]. What it returns is a *[PacketConn].
func ListenPacket(network, address string) (net.PacketConn, error) {
	return new(ListenConfig).ListenPacket(context.Background(), network, address)
}

// backlog is how many connections may wait to be accepted: as many as the system allows, which cuts it. More than 16 bits would be
// wrapped by old systems.
const backlog = 1<<16 - 1

// Listen is the function Listen with this configuration. The context is for the resolution of the address alone.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	s, err := lc.open(ctx, network, address, false)
	if err != nil {
		return nil, err
	}
	op := ringport.Listen(0, backlog)
	if _, err := s.f.Do(&op); err != nil {
		s.f.Close()
		return nil, listenError(network, s.local, err)
	}
	l := &Listener{s: s, config: *lc}
	l.unlinkOnClose = isUnix(network) && address != "" && address[0] != '@'
	return l, nil
}

// ListenPacket is the function ListenPacket with this configuration. The context is for the resolution of the address alone.
func (lc *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	s, err := lc.open(ctx, network, address, true)
	if err != nil {
		return nil, err
	}
	return newPacketConn(s), nil
}

// open makes a socket that has the address, for packets or for connections.
func (lc *ListenConfig) open(ctx context.Context, network, address string, packets bool) (s socket, err error) {
	p := plan{manager: lc.Manager, network: network, kind: kindOf(network), reusePort: lc.ReusePort, listens: true, control: lc.Control, ofLoop: lc.ofLoop}
	var at net.Addr
	var ap netip.AddrPort
	switch {
	case isUnix(network):
		at, p.address, p.family = &net.UnixAddr{Name: address, Net: network}, address, syscall.AF_UNIX
		p.local, err = ringport.UnixAddress(address)
	case isIP(network):
		if ap, err = firstOf(ctx, network, address); err == nil {
			at = netAddrOf(network, ap)
			p.address = at.String()
		}
	default:
		err = net.UnknownNetworkError(network)
	}
	switch {
	case err != nil:
	case packets != (p.kind == syscall.SOCK_DGRAM):
		err = &net.AddrError{Err: "unexpected address type", Addr: address}
	case isUnix(network):
		s, err = p.make(ctx)
	default:
		s, err = p.withAddress(ctx, ap)
	}
	if err != nil {
		return s, listenError(network, at, err)
	}
	s.locate()
	return s, nil
}

// firstOf is the address to listen at: an IPv4 one, if address has one.
func firstOf(ctx context.Context, network, address string) (netip.AddrPort, error) {
	if address == "" {
		address = ":0"
	}
	all, err := resolve(ctx, net.DefaultResolver, network, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, ap := range all {
		if ap.Addr().Is4() {
			return ap, nil
		}
	}
	return all[0], nil
}

func listenError(network string, at net.Addr, err error) error {
	return &net.OpError{Op: "listen", Net: network, Addr: at, Err: neterr.Cause(err)}
}

// Listener accepts connections: TCP or Unix. Its methods may be called from several goroutines at once.
type Listener struct {
	s             socket
	config        ListenConfig
	mu            sync.Mutex // over unlinkOnClose
	unlinkOnClose bool
}

var (
	_ net.Listener = (*Listener)(nil)
	_ syscall.Conn = (*Listener)(nil)
)

// Accept waits for a connection, which is a *[Conn]. See accept(2).
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptContext(context.Background())
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptContext is Accept, which the end of ctx ends too. When the process has no descriptor left (EMFILE), a connection that waits is not
// lost: it is accepted by the next call that finds one.
func (l *Listener) AcceptContext(ctx context.Context) (*Conn, error) {
	f := l.s.f
	if ctx.Done() != nil {
		f = f.WithContext(ctx)
	}
	var peer ringport.SocketAddress
	op := ringport.Accept(0, &peer)
	fd, err := f.DoRead(&op)
	for errors.Is(err, syscall.ECONNABORTED) { // it was there, and left
		fd, err = f.DoRead(&op)
	}
	if err != nil {
		return nil, l.s.failedHere("accept", err)
	}
	c, err := l.accepted(ringport.Handle(fd), peer)
	if err != nil {
		return nil, l.s.failedHere("accept", err)
	}
	return c, nil
}

// accepted makes a Conn of a connection, also if the listener was closed meanwhile: it is the caller's now.
func (l *Listener) accepted(h ringport.Handle, peer ringport.SocketAddress) (*Conn, error) {
	s, err := adopt(l.s.m, h, l.s.network)
	if err != nil {
		return nil, err
	}
	c := &Conn{socket: s}
	c.family = l.s.family
	c.locate()
	c.remote = netAddr(l.s.network, peer)
	if !isUnix(l.s.network) {
		c.startTCP(h, l.config.KeepAlive, l.config.KeepAliveConfig)
	}
	return c, nil
}

// Close ends all Accepts that wait, which fail with net.ErrClosed, and the listening. Connections that were accepted stay. A Unix socket's
// file is removed, see SetUnlinkOnClose.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.unlinkOnClose {
		l.unlinkOnClose = false
		os.Remove(l.s.local.(*net.UnixAddr).Name) // before the close, after which the path may be another listener's
	}
	l.mu.Unlock()
	return l.s.failedHere("close", l.s.f.Close())
}

// SetUnlinkOnClose says whether Close removes the Unix socket's file, as it does unless told otherwise.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	l.mu.Lock()
	l.unlinkOnClose = unlink && isUnix(l.s.network)
	l.mu.Unlock()
}

// SyscallConn gives access to the socket's descriptor for calls that this package lacks. See [Conn.SyscallConn].
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.s.SyscallConn() }

// Addr is the address at which the listener listens: a *net.TCPAddr or *net.UnixAddr.
func (l *Listener) Addr() net.Addr { return l.s.local }

// SetDeadline sets the time at which Accept ends, whether it waits now or comes later, with an error that matches
// os.ErrDeadlineExceeded. The zero time means never.
func (l *Listener) SetDeadline(t time.Time) error {
	return l.s.failedHere("set", l.s.f.SetReadDeadline(t))
}
