package rnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/neterr"
)

// Dialer says how to connect. The zero value is right for most. Its fields mean what those of net.Dialer do.
type Dialer struct {
	// Timeout is how long a connection attempt may take, Deadline until when; zero: no limit but the system's and the context's.
	Timeout  time.Duration
	Deadline time.Time

	// LocalAddr is the address to connect from: a *net.TCPAddr, *net.UDPAddr or *net.UnixAddr, as the network has it; nil: the system
	// chooses.
	LocalAddr net.Addr

	// FallbackDelay is after how long a host's addresses of the other version of IP are tried beside those that come first
	// (RFC 6555, "Happy Eyeballs"); zero: 300 ms; negative: not before the first have failed.
	FallbackDelay time.Duration

	// KeepAlive is after how long without traffic the system begins to ask the peer; zero means 15 s, a negative value never. It is
	// ignored if KeepAliveConfig.Enable is true.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// Resolver looks names up; nil: net.DefaultResolver.
	Resolver *net.Resolver

	// Control and ControlContext, of which the second counts if both are given, are called with the socket before it connects.
	Control        func(network, address string, c syscall.RawConn) error
	ControlContext func(ctx context.Context, network, address string, c syscall.RawConn) error

	// Manager runs the operations; nil: ringport.Default. It must be a threaded one.
	Manager *ringport.Manager
}

// Dial connects to an address as net.Dial takes it, with the default [Dialer]. For the networks "tcp", "tcp4", "tcp6", "unix" and
// "unixpacket" the connection is a *[Conn], for "udp", "udp4", "udp6" and "unixgram" a *[PacketConn].
func Dial(network, address string) (net.Conn, error) { return new(Dialer).Dial(network, address) }

// DialContext is Dial, which the end of ctx ends.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(Dialer).DialContext(ctx, network, address)
}

// DialTimeout is Dial with a timeout.
func DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	return (&Dialer{Timeout: timeout}).Dial(network, address)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to an address, one that the function Dial takes. The end of ctx ends the attempt; the connection does not depend on
// it. If a host has several addresses, they are tried in turn, each with its share of the time, and those of the two versions of IP beside
// each other.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx == nil {
		panic("rnet: DialContext with a nil context")
	}
	if at := d.deadline(time.Now()); !at.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, at)
		defer cancel()
	}
	if isUnix(network) {
		return d.dialUnix(ctx, network, address)
	}
	if !isIP(network) {
		return nil, d.failed(network, nil, net.UnknownNetworkError(network))
	}
	primaries, fallbacks, err := d.targets(ctx, network, address)
	if err != nil {
		e := d.failed(network, nil, err)
		e.Source = nil
		return nil, e
	}
	return d.dialParallel(ctx, network, primaries, fallbacks)
}

// deadline is the earliest of what the fields say, the zero time if they don't.
func (d *Dialer) deadline(now time.Time) (at time.Time) {
	at = d.Deadline
	if d.Timeout != 0 {
		if soon := now.Add(d.Timeout); at.IsZero() || soon.Before(at) {
			at = soon
		}
	}
	return at
}

func (d *Dialer) failed(network string, to net.Addr, err error) *net.OpError {
	return &net.OpError{Op: "dial", Net: network, Source: d.source(), Addr: to, Err: neterr.Cause(err)}
}

// source is LocalAddr, and nil if it is a nil pointer.
func (d *Dialer) source() net.Addr {
	switch a := d.LocalAddr.(type) {
	case *net.TCPAddr:
		if a == nil {
			return nil
		}
	case *net.UDPAddr:
		if a == nil {
			return nil
		}
	case *net.UnixAddr:
		if a == nil {
			return nil
		}
	}
	return d.LocalAddr
}

// targets are the addresses to connect to: those of the version of IP that the resolver says first, and the others, unless they are to
// be tried together with the first.
func (d *Dialer) targets(ctx context.Context, network, address string) (primaries, fallbacks []netip.AddrPort, err error) {
	r := d.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	if address == "" {
		return nil, nil, errors.New("missing address")
	}
	all, err := resolve(ctx, r, network, address)
	if err != nil {
		return nil, nil, err
	}
	local, err := d.local(network)
	if err != nil {
		return nil, nil, err
	}
	for _, ap := range all {
		if local.IsValid() && !local.Addr().IsUnspecified() && local.Addr().Is4() != ap.Addr().Is4() {
			continue
		}
		ap = toLocal(ap)
		if len(primaries) == 0 || d.FallbackDelay < 0 || kindOf(network) == syscall.SOCK_DGRAM || ap.Addr().Is4() == primaries[0].Addr().Is4() {
			primaries = append(primaries, ap)
		} else {
			fallbacks = append(fallbacks, ap)
		}
	}
	if primaries == nil {
		return nil, nil, &net.AddrError{Err: "no suitable address found", Addr: address}
	}
	return primaries, fallbacks, nil
}

// local is the address to connect from, not valid if it is the system's choice.
func (d *Dialer) local(network string) (local netip.AddrPort, err error) {
	from := d.source()
	if from == nil {
		return local, nil
	}
	local, ok := ipOf(from)
	_, udp := from.(*net.UDPAddr)
	if !ok || udp != (kindOf(network) == syscall.SOCK_DGRAM) {
		return local, &net.AddrError{Err: "mismatched local address type", Addr: from.String()}
	}
	return local, nil
}

const fallbackDelay = 300 * time.Millisecond

// dialParallel tries primaries, and fallbacks as soon as these have failed or taken too long. It returns the first connection there is,
// and the first error of the primaries if there is none. What the other attempt still makes is closed.
func (d *Dialer) dialParallel(ctx context.Context, network string, primaries, fallbacks []netip.AddrPort) (net.Conn, error) {
	if len(fallbacks) == 0 {
		return d.dialSerial(ctx, network, primaries)
	}
	type outcome struct {
		c       net.Conn
		err     error
		primary bool
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan outcome)
	running := 0
	race := func(targets []netip.AddrPort, primary bool) {
		running++
		go func() {
			c, err := d.dialSerial(ctx, network, targets)
			results <- outcome{c, err, primary}
		}()
	}
	defer func() { // nobody is left behind: an attempt that is cancelled is soon over
		cancel()
		for ; running > 0; running-- {
			if late := <-results; late.c != nil {
				late.c.Close()
			}
		}
	}()
	delay := d.FallbackDelay
	if delay == 0 {
		delay = fallbackDelay
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	race(primaries, true)
	var err error // the primaries' first one
	for started := false; ; {
		select {
		case <-timer.C:
			race(fallbacks, false)
			started = true
		case got := <-results:
			running--
			if got.err == nil {
				return got.c, nil
			}
			if got.primary {
				err = got.err
			}
			switch {
			case running == 0 && started:
				return nil, err
			case !started:
				timer.Reset(0)
			}
		}
	}
}

// dialSerial tries targets in turn, and returns the first connection or the first error. Each has its share of the time that is left.
func (d *Dialer) dialSerial(ctx context.Context, network string, targets []netip.AddrPort) (net.Conn, error) {
	var first error
	for i, ap := range targets {
		c, err := d.dialShare(ctx, network, ap, len(targets)-i)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// leastShare is the time that an attempt gets if there is as much.
const leastShare = 2 * time.Second

// dialShare connects to ap, for which there is a share of the time that is left.
func (d *Dialer) dialShare(ctx context.Context, network string, ap netip.AddrPort, among int) (net.Conn, error) {
	if at, ok := ctx.Deadline(); ok && among > 1 {
		left := time.Until(at)
		share := min(left, max(left/time.Duration(among), leastShare))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	return d.dialOne(ctx, network, ap)
}

// maxSelf is how often an attempt is repeated that has met itself: the system may give a socket that connects to a free port that very
// port as its own, and such a pair counts as two that connect at the same moment.
const maxSelf = 2

func (d *Dialer) dialOne(ctx context.Context, network string, ap netip.AddrPort) (net.Conn, error) {
	to := netAddrOf(network, ap)
	for tries := 0; ; tries++ {
		c, err := d.connectIP(ctx, network, ap, to)
		if err != nil {
			return nil, d.failed(network, to, err)
		}
		if tcp, ok := c.(*Conn); ok && tries < maxSelf && d.source() == nil && tcp.local != nil && tcp.local.String() == tcp.remote.String() {
			c.Close()
			continue
		}
		return c, nil
	}
}

func (d *Dialer) connectIP(ctx context.Context, network string, ap netip.AddrPort, to net.Addr) (net.Conn, error) {
	p := d.plan(ctx, network)
	p.address = to.String()
	var err error
	if p.remote, err = socketAddress(ap); err != nil {
		return nil, err
	}
	p.family = p.remote.Family()
	if local, _ := d.local(network); local.IsValid() {
		if local.Addr().IsUnspecified() && ap.Addr().Is6() {
			local = netip.AddrPortFrom(netip.IPv6Unspecified(), local.Port())
		}
		if p.local, err = socketAddress(local); err != nil {
			return nil, err
		}
	}
	c, err := p.connect(ctx, to)
	if tcp, ok := c.(*Conn); ok {
		tcp.startTCP(tcp.handle(), d.KeepAlive, d.KeepAliveConfig)
	}
	return c, err
}

func (d *Dialer) plan(ctx context.Context, network string) plan {
	p := plan{manager: d.Manager, network: network, kind: kindOf(network), both: true, control: d.Control}
	if d.ControlContext != nil {
		p.control = func(network, address string, c syscall.RawConn) error {
			return d.ControlContext(ctx, network, address, c)
		}
	}
	return p
}

// dialUnix connects to the Unix socket at path.
func (d *Dialer) dialUnix(ctx context.Context, network, path string) (net.Conn, error) {
	to := &net.UnixAddr{Name: path, Net: network}
	p := d.plan(ctx, network)
	p.family, p.address = syscall.AF_UNIX, path
	from, ok := d.source().(*net.UnixAddr)
	if !ok && d.source() != nil {
		return nil, d.failed(network, to, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.String()})
	}
	var err error
	if ok {
		p.local, err = ringport.UnixAddress(from.Name)
	}
	if err == nil {
		p.remote, err = ringport.UnixAddress(path)
	}
	var c net.Conn
	if err == nil {
		c, err = p.connect(ctx, to)
	}
	if err != nil {
		return nil, d.failed(network, to, err)
	}
	return c, nil
}

// connect makes the socket and connects it.
func (p *plan) connect(ctx context.Context, to net.Addr) (net.Conn, error) {
	s, err := p.make(ctx)
	if err != nil {
		return nil, err
	}
	op := ringport.Connect(0, p.remote)
	if _, err := s.f.WithContext(ctx).Do(&op); err != nil {
		s.f.Close()
		return nil, err
	}
	s.locate()
	s.remote = to
	if p.kind == syscall.SOCK_DGRAM {
		return newPacketConn(s), nil
	}
	return &Conn{socket: s}, nil
}
