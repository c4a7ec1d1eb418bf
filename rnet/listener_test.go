package rnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

// TestListener_EndsAccepts: Close, the deadline and a context end the Accepts that wait.
func TestListener_EndsAccepts(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		l := listen(t, s, network).(*Listener)
		ctx, cancel := context.WithCancel(context.Background())
		for _, c := range []struct {
			accept func() (*Conn, error)
			end    func()
			want   error
		}{
			{func() (*Conn, error) { return l.AcceptContext(ctx) }, cancel, context.Canceled},
			{func() (*Conn, error) { return l.AcceptContext(context.Background()) }, func() { l.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
			{func() (*Conn, error) { return l.AcceptContext(context.Background()) }, func() { l.Close() }, net.ErrClosed},
		} {
			l.SetDeadline(time.Time{})
			var waiting []func() (*Conn, error)
			for range 5 {
				waiting = append(waiting, conntest.Async(c.accept))
			}
			conntest.InFlight(t, s.m, 5)
			c.end()
			for _, wait := range waiting {
				if conn, err := wait(); conn != nil || !errors.Is(err, c.want) {
					t.Errorf("%v, %v; want %v", conn, err, c.want)
				}
			}
		}
	})
}

// TestListener_LosesNoConnection: Accepts that are ended again and again, in the very moment in which a connection comes, lose none.
func TestListener_LosesNoConnection(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		l := listen(t, s, network).(*Listener)
		const connections = 500
		var expired, accepted atomic.Int64
		accepting := conntest.Async(func() (int, error) {
			for {
				c, err := l.Accept()
				switch {
				case errors.Is(err, os.ErrDeadlineExceeded):
					expired.Add(1)
					l.SetDeadline(time.Time{})
				case err != nil:
					return 0, err
				default:
					accepted.Add(1)
					c.Close()
				}
			}
		})
		done := make(chan struct{})
		conntest.Together(t, func() error {
			for {
				select {
				case <-done:
					return nil
				default:
					l.SetDeadline(time.Unix(1, 0))
				}
			}
		}, func() error {
			defer close(done)
			for i := range connections {
				c, err := s.dial(context.Background(), network, l.Addr().String())
				if err != nil {
					return err
				}
				c.SetDeadline(time.Now().Add(patience.Limit))
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					return fmt.Errorf("connection %d: %v", i, err)
				}
				c.Close()
			}
			return nil
		})
		l.Close()
		if _, err := accepting(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if accepted.Load() != connections || expired.Load() == 0 {
			t.Errorf("%d connections of %d, %d deadlines", accepted.Load(), connections, expired.Load())
		}
	})
}

// TestListener_CloseUnderFire: 10,000 connections that come and go while the listener is closed; Close returns, and nothing is left.
func TestListener_CloseUnderFire(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		before := conntest.Descriptors()
		const connections, dialers = 10_000, 4
		for _, network := range networks {
			n := connections / len(networks)
			at := aside
			if network == "unix" {
				at = addressOf(t, network)
			}
			l, err := s.listen(network, at)
			if err != nil {
				t.Fatal(err)
			}
			at = l.Addr().String()
			var dialed, accepted atomic.Int64
			var closing atomic.Bool
			accept := func() error {
				defer closing.Store(true)
				for {
					c, err := l.Accept()
					if errors.Is(err, net.ErrClosed) {
						return nil
					}
					if err != nil {
						return err
					}
					if accepted.Add(1) == int64(n/3) {
						closing.Store(true)
						go l.Close() // while others connect
					}
					c.Close()
				}
			}
			dial := func() error {
				for dialed.Add(1) <= int64(n) || !closing.Load() { // who leaves before he is accepted may not be: that can be most
					c, err := s.dial(context.Background(), network, at)
					if err != nil { // the listener is closed
						continue
					}
					c.(*Conn).SetLinger(0) // no port is kept for a while
					c.Close()
				}
				return nil
			}
			fs := []func() error{accept, accept}
			for range dialers {
				fs = append(fs, dial)
			}
			conntest.Together(t, fs...)
			l.Close()
			if accepted.Load() < int64(n/3) || dialed.Load() < int64(n) {
				t.Errorf("%s: %d accepted, %d dialed", network, accepted.Load(), dialed.Load())
			}
		}
		conntest.InFlight(t, s.m, 0)
		if err := patience.Until(func() error {
			if now := conntest.Descriptors(); len(now) > len(before) {
				return fmt.Errorf("%d descriptors, %d before", len(now), len(before))
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestListener_ManagerCloses: a manager that closes while connections come leaves none of them behind.
func TestListener_ManagerCloses(t *testing.T) {
	for _, name := range backendsHere(t) {
		t.Run(name, func(t *testing.T) {
			before := conntest.Descriptors()
			network := networks[len(networks)-1]
			for range 100 {
				m, err := ringport.New(ringport.Config{Backend: name})
				if err != nil {
					t.Fatal(err)
				}
				l := listen(t, ourStack(m, name), network)
				var accepted atomic.Int64
				conntest.Together(t, func() error {
					for {
						c, err := l.Accept()
						if errors.Is(err, net.ErrClosed) {
							return nil
						}
						if err != nil {
							return err
						}
						c.Close()
						if accepted.Add(1) == 3 {
							go m.Close()
						}
					}
				}, func() error {
					for range 50 {
						if c, err := net.Dial(network, l.Addr().String()); err == nil {
							c.Close()
						}
					}
					return nil
				})
				l.Close()
			}
			if err := patience.Until(func() error {
				if now := conntest.Descriptors(); len(now) > len(before) {
					return fmt.Errorf("%d descriptors, %d before", len(now), len(before))
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestListener_Unlink: Close removes the socket's file, unless told otherwise; never one that was put in its place by the time of a second Close.
func TestListener_Unlink(t *testing.T) {
	needUnixSockets(t)
	forEach(t, func(t *testing.T, s stack) {
		there := func(path string) bool {
			_, err := os.Lstat(path)
			return err == nil
		}
		l := listen(t, s, "unix").(*Listener)
		path := l.Addr().String()
		if !there(path) {
			t.Fatal("no file")
		}
		l.Close()
		if there(path) {
			t.Error("the file is still there")
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		l.Close()
		if !there(path) {
			t.Error("a second Close removed another's file")
		}
		os.Remove(path)
		kept, err := s.listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		kept.(*Listener).SetUnlinkOnClose(false)
		kept.Close()
		if !there(path) {
			t.Error("the file that was to stay is gone")
		}
	})
}

// TestListenConfig: Control sees the socket before it has its address; a port can be shared if that is asked for, and the system can.
func TestListenConfig(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		refused := errors.New("no")
		var said []string
		lc := ListenConfig{Manager: s.m, ReusePort: portsShared, KeepAlive: 40 * time.Second, Control: func(network, address string, c syscall.RawConn) error {
			var port uint16
			c.Control(func(fd uintptr) {
				if a, err := ringport.LocalAddress(ringport.Handle(fd)); err == nil { // Windows says that there is none
					ap, _ := a.AddrPort()
					port = ap.Port()
				}
			})
			said = append(said, fmt.Sprintf("%s %s bound to %d", network, address, port))
			if len(said) == 3 {
				return refused
			}
			return nil
		}}
		first, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		at := first.Addr().String()
		second, err := lc.Listen(context.Background(), "tcp", at)
		if portsShared && err != nil || !portsShared && !errors.Is(err, errAddrInUse) {
			t.Fatal("the same port:", err)
		}
		if err == nil {
			second.Close()
		}
		if _, err := lc.Listen(context.Background(), "tcp", at); !errors.Is(err, refused) {
			t.Errorf("Control refused: %v", err)
		}
		if want := fmt.Sprint([]string{"tcp4 127.0.0.1:0 bound to 0", "tcp4 " + at + " bound to 0", "tcp4 " + at + " bound to 0"}); fmt.Sprint(said) != want {
			t.Errorf("Control was told %v, want %v", said, want)
		}
		accepted := conntest.Async(first.Accept)
		if err := dialError(s, context.Background(), "tcp", at); err != nil {
			t.Fatal(err)
		}
		c, err := accepted()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		lc.ReusePort = true
		if l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0"); !portsShared && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("ReusePort where there is none: %v", err)
		} else if err == nil {
			l.Close()
		}
		raw, _ := c.(*Conn).SyscallConn()
		raw.Control(func(fd uintptr) {
			if idle, err := ringport.SocketOption(ringport.Handle(fd), syscall.IPPROTO_TCP, keepIdle); idle != 40 || err != nil {
				t.Errorf("keep-alive after %d s, %v", idle, err)
			}
		})
	})
}
