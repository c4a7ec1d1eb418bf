package rnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/patience"
)

// TestSameAsNet: what goes wrong goes wrong as it does with package net: the same operation, addresses, sentinels and answers. The beginning of
// a case's name says what it takes that not every system has.
func TestSameAsNet(t *testing.T) {
	background := context.Background()
	dead := func() (context.Context, context.CancelFunc) { return context.WithCancel(background) }
	cases := map[string]func(t *testing.T, s stack) error{
		"dial nobody": func(t *testing.T, s stack) error {
			return dialError(s, background, "tcp", nobody(t))
		},
		"unix: dial no socket file": func(t *testing.T, s stack) error {
			return dialError(s, background, "unix", filepath.Join(os.TempDir(), "there", "is", "none"))
		},
		"unix: dial a file that is no socket": func(t *testing.T, s stack) error {
			name := addressOf(t, "unix")
			os.WriteFile(name, nil, 0o600)
			return dialError(s, background, "unix", name)
		},
		"dial with a context that is over": func(t *testing.T, s stack) error {
			ctx, cancel := dead()
			cancel()
			return dialError(s, ctx, "tcp", "127.0.0.1:1")
		},
		"dial after the deadline": func(t *testing.T, s stack) error {
			ctx, cancel := context.WithDeadline(background, time.Unix(1, 0))
			defer cancel()
			return dialError(s, ctx, "tcp", "127.0.0.1:1")
		},
		"port in use": func(t *testing.T, s stack) error {
			l := listen(t, netStack, "tcp")
			return listenErrorOf(s, "tcp", l.Addr().String())
		},
		"unix: path in use": func(t *testing.T, s stack) error {
			l := listen(t, netStack, "unix")
			return listenErrorOf(s, "unix", l.Addr().String())
		},
		"no such address here": func(t *testing.T, s stack) error { return listenErrorOf(s, "tcp", "192.0.2.1:0") },
		"unix: no such directory": func(t *testing.T, s stack) error {
			return listenErrorOf(s, "unix", filepath.Join(os.TempDir(), "no", "such"))
		},
		"udp: port in use": func(t *testing.T, s stack) error {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = s.listenPacket("udp", c.LocalAddr().String())
			return err
		},
		"accept of what is closed": func(t *testing.T, s stack) error {
			l := listen(t, s, "tcp")
			l.Close()
			_, err := l.Accept()
			return err
		},
		"accept after the deadline": func(t *testing.T, s stack) error {
			l := listen(t, s, "tcp")
			l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0))
			_, err := l.Accept()
			return err
		},
		"a listener's second Close": func(t *testing.T, s stack) error {
			l := listen(t, s, "tcp")
			l.Close()
			return l.Close()
		},
		"a deadline for what is closed": func(t *testing.T, s stack) error {
			client, _ := pair(t, s, "tcp")
			client.Close()
			return client.SetDeadline(time.Time{})
		},
		"read of what is closed": func(t *testing.T, s stack) error {
			client, _ := pair(t, s, "tcp")
			client.Close()
			_, err := client.Read(make([]byte, 1))
			return err
		},
		"unix: write of what is closed": func(t *testing.T, s stack) error {
			client, _ := pair(t, s, "unix")
			client.Close()
			_, err := client.Write(make([]byte, 1))
			return err
		},
		"close of what is closed": func(t *testing.T, s stack) error {
			client, _ := pair(t, s, "tcp")
			client.Close()
			return client.Close()
		},
		"read after the deadline": func(t *testing.T, s stack) error {
			client, _ := pair(t, s, "tcp")
			client.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := client.Read(make([]byte, 1))
			return err
		},
		"write after the deadline": func(t *testing.T, s stack) error {
			client, _ := pair(t, s, "tcp")
			client.SetWriteDeadline(time.Unix(1, 0))
			_, err := client.Write(make([]byte, 1))
			return err
		},
		"read after a reset": func(t *testing.T, s stack) error {
			for {
				client, server := pair(t, s, "tcp")
				server.(interface{ SetLinger(int) error }).SetLinger(0)
				server.Close()
				if _, err := client.Read(make([]byte, 1)); err != io.EOF || !resetsGetLost {
					return err
				}
			}
		},
		"write after CloseWrite": func(t *testing.T, s stack) error {
			client, _ := pair(t, s, "tcp")
			client.(interface{ CloseWrite() error }).CloseWrite()
			_, err := client.Write(make([]byte, 1))
			return err
		},
		"udp: a packet that is too long": func(t *testing.T, s stack) error {
			c, err := s.dial(background, "udp", "127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Write(make([]byte, 1<<17))
			return err
		},
		"udp: a packet to nobody": func(t *testing.T, s stack) error {
			gone, err := net.ListenPacket("udp", aside)
			if err != nil {
				t.Fatal(err)
			}
			gone.Close()
			c, err := s.dial(background, "udp", gone.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write([]byte("x"))
			c.SetReadDeadline(time.Now().Add(patience.Limit))
			_, err = c.Read(make([]byte, 1))
			return err
		},
		"udp: WriteTo of what is connected": func(t *testing.T, s stack) error {
			c, err := s.dial(background, "udp", "127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.(net.PacketConn).WriteTo([]byte("x"), c.RemoteAddr())
			return err
		},
		"udp: read of a packet after the deadline": func(t *testing.T, s stack) error {
			c, err := s.listenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetReadDeadline(time.Unix(1, 0))
			_, _, err = c.ReadFrom(make([]byte, 1))
			return err
		},
		"udp: WriteTo after the deadline": func(t *testing.T, s stack) error {
			c, err := s.listenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetWriteDeadline(time.Unix(1, 0))
			_, err = c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
			return err
		},
	}
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:no such service", "[::1:80", "::1:80",
		"1:2:3", "[::1]:80"} {
		network := "tcp4"
		cases["dial "+network+" "+bad] = func(t *testing.T, s stack) error { return dialError(s, background, network, bad) }
		if bad != "127.0.0.1:" && bad != "" { // which are good
			cases["listen "+network+" "+bad] = func(t *testing.T, s stack) error { return listenErrorOf(s, network, bad) }
		}
	}
	for _, network := range []string{"", "tcp7", "udp9", "unix4", "TCP"} {
		cases["dial network "+network] = func(t *testing.T, s stack) error { return dialError(s, background, network, "127.0.0.1:80") }
		cases["listen network "+network] = func(t *testing.T, s stack) error { return listenErrorOf(s, network, "127.0.0.1:80") }
	}
	cases["listen on packets"] = func(t *testing.T, s stack) error { return listenErrorOf(s, "udp", "127.0.0.1:0") }
	cases["packets of a stream"] = func(t *testing.T, s stack) error {
		_, err := s.listenPacket("tcp", "127.0.0.1:0")
		return err
	}
	forEach(t, func(t *testing.T, s stack) {
		for name, f := range cases {
			t.Run(name, func(t *testing.T) {
				if strings.HasPrefix(name, "unix: ") {
					needUnixSockets(t)
				}
				if strings.HasPrefix(name, "udp: ") && !netUDP {
					t.Skip("package net has no UDP under Wine")
				}
				if got, want := portrait(f(t, s)), portrait(f(t, netStack)); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	})
}

// What differs from one run to the next.
var (
	portNumber = regexp.MustCompile(`:[0-9]{4,5}\b`)
	socketName = regexp.MustCompile(`[^ ]*[/\\]socket`)
)

// portrait is what can be seen of an error.
func portrait(err error) string {
	if err == nil {
		return "no error"
	}
	var b strings.Builder
	var op *net.OpError
	if errors.As(err, &op) {
		fmt.Fprintf(&b, "%s %s, source %T %[3]v, address %T %[4]v: ", op.Op, op.Net, op.Source, op.Addr)
	}
	var e net.Error
	if errors.As(err, &e) {
		//lint:ignore SA1019 net/http still asks, and what it is told must be what package net says
		fmt.Fprintf(&b, "timeout %v, temporary %v;", e.Timeout(), e.Temporary())
	}
	var errno syscall.Errno
	var system *os.SyscallError
	if errors.As(err, &errno) {
		fmt.Fprintf(&b, " %v, by a system call: %v;", errno, errors.As(err, &system))
	}
	for _, sentinel := range []error{net.ErrClosed, os.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded, os.ErrNotExist,
		net.ErrWriteToConnected} {
		if errors.Is(err, sentinel) {
			fmt.Fprintf(&b, " is %q;", sentinel)
		}
	}
	var parse *net.AddrError
	var dns *net.DNSError
	var unknown net.UnknownNetworkError
	switch {
	case errors.As(err, &parse):
		fmt.Fprintf(&b, " %v", parse)
	case errors.As(err, &dns):
		fmt.Fprintf(&b, " %v", dns)
	case errors.As(err, &unknown):
		fmt.Fprintf(&b, " %v", unknown)
	}
	return socketName.ReplaceAllString(portNumber.ReplaceAllString(b.String(), ":port"), "socket")
}

// TestListen_Addresses: one listens where package net would.
func TestListen_Addresses(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		for _, c := range [][2]string{
			{"tcp", ":0"}, {"tcp", "0.0.0.0:0"}, {"tcp", "[::]:0"}, {"tcp4", ":0"}, {"tcp6", ":0"}, {"tcp", "127.0.0.1:0"}, {"tcp", "[::1]:0"},
			{"tcp", "localhost:0"}, {"tcp4", "localhost:0"}, {"tcp", ""}, {"tcp", "127.0.0.1:"},
		} {
			ours, err := s.listen(c[0], c[1])
			if err != nil {
				t.Errorf("%v: %v", c, err)
				continue
			}
			theirs, err := net.Listen(c[0], c[1])
			if err != nil {
				t.Fatal(err)
			}
			if got, want := hostOf(ours.Addr()), hostOf(theirs.Addr()); got != want {
				t.Errorf("%v: at %s, want %s", c, got, want)
			}
			for _, from := range []string{"127.0.0.1", "::1"} {
				if got, want := reached(s, ours, from), reached(s, theirs, from); got != want {
					t.Errorf("%v: reached from %s: %v, want %v", c, from, got, want)
				}
			}
			ours.Close()
			theirs.Close()
		}
	})
}

// reached reports whether who dials host gets to l, and not to another process that has the port in the other version of IP.
func reached(s stack, l net.Listener, host string) bool {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c, err := s.dial(context.Background(), "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return false
	}
	defer c.Close()
	go func() {
		if a, err := l.Accept(); err == nil {
			io.WriteString(a, l.Addr().String())
			a.Close()
		}
	}()
	c.SetReadDeadline(time.Now().Add(patience.Limit)) // of the other process
	said, _ := io.ReadAll(c)
	return string(said) == l.Addr().String()
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return fmt.Sprintf("%T %s", a, host)
}

// TestBadPath: a path that no Unix socket can have is refused, in full. (Package net cuts one at a zero byte.)
func TestBadPath(t *testing.T) {
	needUnixSockets(t)
	forEach(t, func(t *testing.T, s stack) {
		for _, path := range []string{strings.Repeat("long", 50), "a\x00b"} {
			for op, err := range map[string]error{"dial": dialError(s, context.Background(), "unix", path), "listen": listenErrorOf(s, "unix", path)} {
				var e *net.OpError
				if !errors.Is(err, ringport.ErrInvalidAddress) || !errors.As(err, &e) || e.Op != op || e.Addr.String() != path {
					t.Errorf("%s: %v", op, err)
				}
			}
		}
	})
}

// TestListen_Abstract: Linux's names that begin with "@" are no files.
func TestListen_Abstract(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has abstract names")
	}
	forEach(t, func(t *testing.T, s stack) {
		name := fmt.Sprintf("@rnet-%d-%s", os.Getpid(), s.name)
		l, err := s.listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if l.Addr().String() != name {
			t.Errorf("at %s", l.Addr())
		}
		if err := dialError(s, context.Background(), "unix", name); err != nil {
			t.Error(err)
		}
	})
}
