package rnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

// blackHole is a listener whose queue is full, so that the system drops what wants to connect.
func blackHole(t *testing.T) string {
	t.Helper()
	m, err := ringport.New(ringport.Config{}) // what waits there is not in flight on the test's own
	if err != nil {
		t.Fatal(err)
	}
	var sockets []ringport.Handle
	t.Cleanup(func() {
		m.Close()
		for _, h := range sockets {
			closeSocket(h)
		}
	})
	do := func(op *ringport.Op) int {
		t.Helper()
		n, err := m.Do(context.Background(), op)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	socket := func() ringport.Handle {
		op := ringport.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		h := ringport.Handle(do(&op))
		sockets = append(sockets, h)
		return h
	}
	l := socket()
	at, err := ringport.IPAddress(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	bind, listen := ringport.Bind(l, at), ringport.Listen(l, 0)
	do(&bind)
	do(&listen)
	if at, err = ringport.LocalAddress(l); err != nil {
		t.Fatal(err)
	}
	first := ringport.Connect(socket(), at)
	do(&first)
	for range 2 { // the queue takes one or two
		op := ringport.Connect(socket(), at)
		if err := m.Start(&op, func(*ringport.Op) {}); err != nil {
			t.Fatal(err)
		}
	}
	ap, _ := at.AddrPort()
	return ap.String()
}

// TestDial_BlackHole: an attempt that nobody answers ends with its context, its timeout or its deadline, and says which.
func TestDial_BlackHole(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		at := blackHole(t)
		ctx, cancel := context.WithCancel(context.Background())
		waiting := conntest.Async(func() (net.Conn, error) { return s.dial(ctx, "tcp", at) })
		conntest.InFlight(t, s.m, 1)
		cancel()
		var e *net.OpError
		if c, err := waiting(); c != nil || !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Op != "dial" || e.Addr.String() != at || e.Timeout() {
			t.Errorf("a context: %v, %v", c, err)
		}
		for name, d := range map[string]*Dialer{
			"a timeout":  {Manager: s.m, Timeout: time.Millisecond},
			"a deadline": {Manager: s.m, Deadline: time.Now().Add(time.Millisecond), Timeout: time.Hour},
		} {
			if c, err := d.Dial("tcp", at); c != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || !e.Timeout() {
				t.Errorf("%s: %v, %v", name, c, err)
			}
		}
		conntest.InFlight(t, s.m, 0)
	})
}

// TestDial_Parallel: addresses of the other version of IP are tried as soon as the first have failed or taken too long; the first
// connection counts, and nothing is left of the other attempt.
func TestDial_Parallel(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		good, other := listen(t, netStack, "tcp4"), listen(t, netStack, "tcp6")
		at := func(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
		hole := netip.MustParseAddrPort(blackHole(t))
		nobody := netip.MustParseAddrPort(nobody(t))
		for _, c := range []struct {
			name                 string
			delay                time.Duration
			primaries, fallbacks []netip.AddrPort
			want                 net.Addr
		}{
			{"the first answers", time.Hour, []netip.AddrPort{at(good.Addr())}, []netip.AddrPort{at(other.Addr())}, good.Addr()},
			{"the first fails", time.Hour, []netip.AddrPort{nobody}, []netip.AddrPort{at(other.Addr())}, other.Addr()},
			{"the first takes too long", time.Millisecond, []netip.AddrPort{hole}, []netip.AddrPort{at(other.Addr())}, other.Addr()},
			{"the second of the first", time.Hour, []netip.AddrPort{nobody, at(good.Addr())}, []netip.AddrPort{at(other.Addr())}, good.Addr()},
			{"all fail", time.Hour, []netip.AddrPort{nobody}, []netip.AddrPort{nobody, nobody}, nil},
		} {
			d := Dialer{Manager: s.m, FallbackDelay: c.delay}
			conn, err := d.dialParallel(context.Background(), "tcp", c.primaries, c.fallbacks)
			switch {
			case c.want == nil:
				if conn != nil || !errors.Is(err, errRefused) {
					t.Errorf("%s: %v, %v", c.name, conn, err)
				}
			case err != nil:
				t.Errorf("%s: %v", c.name, err)
			case conn.RemoteAddr().String() != c.want.String():
				t.Errorf("%s: connected to %v", c.name, conn.RemoteAddr())
			}
			if conn != nil {
				conn.Close()
			}
			conntest.InFlight(t, s.m, 0)
		}
	})
}

// TestDial_TwoConnections: when both attempts succeed at the same moment, one of the connections is closed.
func TestDial_TwoConnections(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		four, six := listen(t, netStack, "tcp4"), listen(t, netStack, "tcp6")
		before := conntest.Descriptors()
		for range 200 {
			var both sync.WaitGroup // lets them connect together
			both.Add(2)
			d := Dialer{Manager: s.m, FallbackDelay: 1, Control: func(string, string, syscall.RawConn) error {
				both.Done()
				both.Wait()
				return nil
			}}
			c, err := d.dialParallel(context.Background(), "tcp", []netip.AddrPort{netip.MustParseAddrPort(four.Addr().String())},
				[]netip.AddrPort{netip.MustParseAddrPort(six.Addr().String())})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		if now := conntest.Descriptors(); len(now) > len(before) {
			t.Errorf("%d descriptors, %d before", len(now), len(before))
		}
	})
}

// TestDial_Share: each address has its share of the time, so that one that never answers leaves some for the next. The many are there for the
// shares to be short, and for a busy machine to have as many tries.
func TestDial_Share(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		hole, good := netip.MustParseAddrPort(blackHole(t)), listen(t, netStack, "tcp4")
		d := Dialer{Manager: s.m}
		ctx, cancel := context.WithTimeout(context.Background(), patience.Limit)
		defer cancel()
		targets := append([]netip.AddrPort{hole}, slices.Repeat([]netip.AddrPort{netip.MustParseAddrPort(good.Addr().String())}, 29)...)
		c, err := d.dialSerial(ctx, "tcp", targets)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

// TestDial_Names: the resolver's answers, those of both versions of IP, are what is tried.
func TestDial_Names(t *testing.T) {
	server := nameServer(t, map[string][]string{
		"both.test.": {"::1", "127.0.0.1"}, "six.test.": {"::1"}, "four.test.": {"127.0.0.1"}, "elsewhere.test.": {"192.0.2.7"},
	})
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return Dial("udp", server) // Wine lacks what package net needs for it
	}}
	forEach(t, func(t *testing.T, s stack) {
		four := listen(t, netStack, "tcp4")
		_, port, _ := net.SplitHostPort(four.Addr().String())
		for _, c := range []struct{ network, host, want string }{
			{"tcp", "both.test.", "127.0.0.1"}, // nobody is at [::1], whichever comes first
			{"tcp", "four.test.", "127.0.0.1"},
			{"tcp4", "both.test.", "127.0.0.1"},
			{"tcp6", "both.test.", errRefused.Error()},
			{"tcp", "six.test.", errRefused.Error()},
			{"tcp4", "six.test.", "no suitable address"},
			{"tcp", "none.test.", "no such host"},
			{"udp", "both.test.", "::1"},
		} {
			if c.network == "udp" && !netUDP { // with which the resolver finds out which address is nearest (RFC 6724)
				c.want = "1"
			}
			d := Dialer{Manager: s.m, Resolver: resolver}
			conn, err := d.Dial(c.network, net.JoinHostPort(c.host, port))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got, _, _ = net.SplitHostPort(conn.RemoteAddr().String())
				conn.Close()
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s %s: %s, want %s", c.network, c.host, got, c.want)
			}
		}
		d := Dialer{Manager: s.m, Resolver: resolver, LocalAddr: &net.TCPAddr{IP: net.IPv6loopback}}
		if _, err := d.Dial("tcp", net.JoinHostPort("both.test.", port)); !errors.Is(err, errRefused) {
			t.Errorf("from an IPv6 address: %v", err)
		}
		if _, err := d.Dial("tcp", net.JoinHostPort("elsewhere.test.", port)); err == nil || !strings.Contains(err.Error(), "no suitable address") {
			t.Errorf("from an IPv6 address to an IPv4 one: %v", err)
		}
	})
}

// nameServer answers questions for addresses, and returns where.
func nameServer(t *testing.T, hosts map[string][]string) string {
	t.Helper()
	c, err := ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(answer(buf[:n], hosts), from)
		}
	}()
	return c.LocalAddr().String()
}

// answer is the answer to a question (RFC 1035): its header, the question again, and the records.
func answer(question []byte, hosts map[string][]string) []byte {
	var labels []string
	i := 12
	for question[i] != 0 {
		n := int(question[i])
		labels = append(labels, string(question[i+1:i+1+n]))
		i += 1 + n
	}
	name, kind, end := strings.Join(labels, ".")+".", question[i+2], i+5
	const a, aaaa = 1, 28
	msg := slices.Concat(question[:2], []byte{0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end])
	ips, known := hosts[name]
	if !known {
		msg[3] = 3 // NXDOMAIN
	}
	for _, text := range ips {
		ip := netip.MustParseAddr(text)
		if ip.Is4() && kind == a || ip.Is6() && kind == aaaa {
			data := ip.AsSlice()
			msg = append(msg, 0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, byte(len(data)))
			msg = append(msg, data...)
			msg[7]++
		}
	}
	return msg
}

// TestDialer: its fields do what they say.
func TestDialer(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		l := listen(t, netStack, "tcp4")
		at := l.Addr().String()
		var said string
		d := Dialer{Manager: s.m, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, KeepAlive: -1,
			Control: func(network, address string, c syscall.RawConn) error { panic("the other one counts") },
			ControlContext: func(ctx context.Context, network, address string, c syscall.RawConn) error {
				said = network + " " + address
				return ctx.Err()
			}}
		c, err := d.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if said != "tcp4 "+at || c.LocalAddr().(*net.TCPAddr).IP.String() != "127.0.0.9" {
			t.Errorf("told %q; from %v", said, c.LocalAddr())
		}
		raw, _ := c.(*Conn).SyscallConn()
		raw.Control(func(fd uintptr) {
			if on, err := ringport.SocketOption(ringport.Handle(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); on != 0 || err != nil {
				t.Errorf("keep-alive %d, %v", on, err)
			}
		})
		d = Dialer{Manager: s.m, LocalAddr: (*net.TCPAddr)(nil)}
		if c, err := d.Dial("tcp", at); err != nil {
			t.Errorf("from a nil address: %v", err)
		} else {
			c.Close()
		}
		for name, bad := range map[string]net.Addr{"udp": &net.UDPAddr{}, "unix": &net.UnixAddr{}, "ip": &net.IPNet{}} {
			d := Dialer{Manager: s.m, LocalAddr: bad}
			var e *net.AddrError
			if _, err := d.Dial("tcp", at); !errors.As(err, &e) {
				t.Errorf("tcp from %s: %v", name, err)
			}
		}
		var e *net.AddrError
		d = Dialer{Manager: s.m, LocalAddr: &net.TCPAddr{}}
		if _, err := d.Dial("unix", "socket"); !errors.As(err, &e) {
			t.Errorf("unix from tcp: %v", err)
		}
		refused := errors.New("no")
		d = Dialer{Manager: s.m, Control: func(string, string, syscall.RawConn) error { return refused }}
		if _, err := d.Dial("tcp", at); !errors.Is(err, refused) {
			t.Errorf("Control refused: %v", err)
		}
		if !unixSockets {
			return
		}
		name := addressOf(t, "unix")
		path := listen(t, netStack, "unix")
		d = Dialer{Manager: s.m, LocalAddr: &net.UnixAddr{Name: name}}
		u, err := d.Dial("unix", path.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		defer os.Remove(name)
		if u.LocalAddr().String() != name {
			t.Errorf("from %v", u.LocalAddr())
		}
	})
}

// TestDial_Self: a socket that gets the port that it connects to is connected with itself. Such an attempt is repeated.
func TestDial_Self(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		at := nobody(t)
		own, err := ringport.IPAddress(netip.MustParseAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		tries := 0
		d := Dialer{Manager: s.m, Control: func(_, _ string, c syscall.RawConn) (err error) {
			tries++
			c.Control(func(fd uintptr) {
				ringport.SetSocketOption(ringport.Handle(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
				if tries < 3 {
					bind := ringport.Bind(ringport.Handle(fd), own)
					_, err = s.m.Do(context.Background(), &bind)
				}
			})
			return err
		}}
		if c, err := d.Dial("tcp", at); !errors.Is(err, errRefused) || tries != 3 {
			t.Errorf("%v, %v after %d tries", c, err, tries)
		}
	})
}
