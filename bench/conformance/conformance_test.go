// Package conformance runs golang.org/x/net/nettest's test of net.Conn on ringport's connections. It is in this module, since the library's
// own depends on nothing that its users don't need.
package conformance

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/rnet"
)

func TestConn(t *testing.T) {
	for _, backend := range []string{ringport.BackendIOUring, ringport.BackendPool, ringport.BackendIOCP} {
		t.Run(backend, func(t *testing.T) {
			m, err := ringport.New(ringport.Config{Backend: backend})
			var unavailable *ringport.UnavailableError
			if errors.As(err, &unavailable) {
				t.Skip("the library's own tests know whether it should be there: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, network := range []string{"tcp4", "tcp6", "unix"} {
				t.Run(network, func(t *testing.T) {
					if network == "unix" && runtime.GOOS == "windows" && !hasUnixSockets(m) {
						t.Skip("only Windows can show this; Wine has no Unix sockets")
					}
					nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) { return pipe(m, network) })
				})
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func hasUnixSockets(m *ringport.Manager) bool {
	op := ringport.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	h, err := m.Do(context.Background(), &op)
	if err == nil {
		op = ringport.CloseHandle(ringport.Handle(h))
		_, err = m.Do(context.Background(), &op)
	}
	return !errors.Is(err, syscall.EAFNOSUPPORT)
}

// pipe makes the two ends of a connection.
func pipe(m *ringport.Manager, network string) (c1, c2 net.Conn, stop func(), err error) {
	address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
	if network == "unix" {
		dir, err := os.MkdirTemp("", "conn") // t.TempDir may be too long for a Unix socket
		if err != nil {
			return nil, nil, nil, err
		}
		defer os.RemoveAll(dir)
		address = filepath.Join(dir, "socket")
	}
	lc := rnet.ListenConfig{Manager: m}
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return nil, nil, nil, err
	}
	defer l.Close()
	type accepted struct {
		c   net.Conn
		err error
	}
	ch := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		ch <- accepted{c, err}
	}()
	d := rnet.Dialer{Manager: m}
	if c1, err = d.Dial(network, l.Addr().String()); err != nil {
		return nil, nil, nil, err
	}
	a := <-ch
	if a.err != nil {
		c1.Close()
		return nil, nil, nil, a.err
	}
	return c1, a.c, func() { c1.Close(); a.c.Close() }, nil
}
