package rnet

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
)

// TestMain checks that all tests together leave nothing behind: no goroutine and no descriptor.
func TestMain(m *testing.M) {
	os.Exit(conntest.Run(m))
}

// stack is one implementation of connections: package net, or ours on one backend.
type stack struct {
	name         string
	m            *ringport.Manager // nil: package net
	listen       func(network, address string) (net.Listener, error)
	listenPacket func(network, address string) (net.PacketConn, error)
	dial         func(ctx context.Context, network, address string) (net.Conn, error)
}

var netStack = stack{name: "net", listen: net.Listen, listenPacket: net.ListenPacket, dial: new(net.Dialer).DialContext}

func ourStack(m *ringport.Manager, name string) stack {
	lc, d := &ListenConfig{Manager: m}, &Dialer{Manager: m}
	return stack{
		name: name, m: m,
		listen: func(network, address string) (net.Listener, error) {
			return lc.Listen(context.Background(), network, address)
		},
		listenPacket: func(network, address string) (net.PacketConn, error) {
			return lc.ListenPacket(context.Background(), network, address)
		},
		dial: d.DialContext,
	}
}

// backendsHere are the backends that every test runs on.
func backendsHere(t testing.TB) (names []string) {
	t.Helper()
	if list := os.Getenv("RINGPORT_TEST_BACKENDS"); list != "" {
		return strings.Split(list, ",")
	}
	for _, name := range []string{ringport.BackendIOUring, ringport.BackendPool, ringport.BackendIOCP} {
		m, err := ringport.New(ringport.Config{Backend: name})
		var unavailable *ringport.UnavailableError
		if errors.As(err, &unavailable) {
			t.Logf("not on %s: %v", name, err) // the library's own tests know whether it should be there
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		names = append(names, name)
	}
	return names
}

// networks are those of streams that there are here, by package net's usual names.
var networks = func() []string {
	if unixSockets {
		return []string{"tcp", "unix"}
	}
	return []string{"tcp"}
}()

// needUnixSockets skips a test that is about them where there are none.
func needUnixSockets(t *testing.T) {
	t.Helper()
	if !unixSockets {
		t.Skip("only Windows can show this; Wine has no Unix sockets")
	}
}

// forEach runs f on a manager of each backend, and checks that closing it, after f has closed what it opened, returns.
func forEach(t *testing.T, f func(t *testing.T, s stack)) {
	t.Helper()
	for _, name := range backendsHere(t) {
		t.Run(name, func(t *testing.T) {
			m, err := ringport.New(ringport.Config{Backend: name})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := m.Close(); err != nil {
					t.Error("close:", err)
				}
			})
			f(t, ourStack(m, name))
		})
	}
}

// addresses are where to listen, by network.
func addressOf(t testing.TB, network string) string {
	t.Helper()
	switch network {
	case "tcp", "tcp4", "udp", "udp4":
		return "127.0.0.1:0"
	case "tcp6", "udp6":
		return "[::1]:0"
	}
	dir, err := os.MkdirTemp("", "rnet") // t.TempDir may be too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "socket")
}

func listen(t testing.TB, s stack, network string) net.Listener {
	t.Helper()
	l, err := s.listen(network, addressOf(t, network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// aside is where a test listens that expects nobody there afterwards.
var aside = conntest.Aside(2)

// nobody is an address at which nobody listens.
func nobody(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", aside)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

func dialError(s stack, ctx context.Context, network, address string) error {
	c, err := s.dial(ctx, network, address)
	if err == nil {
		c.Close()
	}
	return err
}

func listenErrorOf(s stack, network, address string) error {
	l, err := s.listen(network, address)
	if err == nil {
		l.Close()
	}
	return err
}

// pair is a connection, as both its sides have it.
func pair(t testing.TB, s stack, network string) (client, server net.Conn) {
	t.Helper()
	l := listen(t, s, network)
	accepted := conntest.Async(func() (net.Conn, error) { return l.Accept() })
	client, err := s.dial(context.Background(), network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = accepted()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}
