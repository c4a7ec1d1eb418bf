//go:build unix

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
				c.SetDeadline(time.Now().Add(conntest.Patience))
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

// TestListener_FullTable: with the descriptor table full, Accept says EMFILE, which is temporary; when there is room again, the connection
// that waited is accepted, and the listener goes on.
func TestListener_FullTable(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		l := listen(t, s, "tcp")
		client, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0) // as long as there is room
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(client)
		makeRoom := fillTable(t)
		defer makeRoom()
		if err := syscall.Connect(client, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: l.Addr().(*net.TCPAddr).Port}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c, err := l.Accept()
			var e net.Error
			//lint:ignore SA1019 net/http still asks, and what it is told must be what package net says
			if c != nil || !errors.Is(err, syscall.EMFILE) || !errors.As(err, &e) || !e.Temporary() || e.Timeout() {
				t.Fatalf("%v, %v", c, err)
			}
		}
		if err := dialError(s, context.Background(), "tcp", l.Addr().String()); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("dial: %v", err)
		}
		makeRoom()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("x"))
		if n, err := syscall.Read(client, make([]byte, 8)); n != 1 || err != nil {
			t.Errorf("the connection that waited: %d, %v", n, err)
		}
		again := conntest.Async(l.Accept)
		if err := dialError(s, context.Background(), "tcp", l.Addr().String()); err != nil {
			t.Error(err)
		}
		if c, err := again(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
	})
}

// fillTable opens descriptors until there is none left. The function that it returns closes them.
func fillTable(t *testing.T) (makeRoom func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	low := was
	low.Cur = 256
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var opened []int
	for {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		opened = append(opened, fd)
	}
	return func() {
		for _, fd := range opened {
			syscall.Close(fd)
		}
		opened = nil
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	}
}

// TestListener_CloseUnderFire: 10,000 connections that come and go while the listener is closed; Close returns, and nothing is left.
func TestListener_CloseUnderFire(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		before := descriptors()
		const connections, dialers = 10_000, 4
		for network, n := range map[string]int{"tcp": connections / 2, "unix": connections / 2} {
			l := listen(t, s, network)
			at := l.Addr().String()
			var dialed, accepted atomic.Int64
			accept := func() error {
				for {
					c, err := l.Accept()
					if errors.Is(err, net.ErrClosed) {
						return nil
					}
					if err != nil {
						return err
					}
					if accepted.Add(1) == int64(n/3) {
						go l.Close() // while others connect
					}
					c.Close()
				}
			}
			dial := func() error {
				for dialed.Add(1) <= int64(n) {
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
		if err := conntest.Eventually(func() error {
			if now := descriptors(); len(now) > len(before) {
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
			before := descriptors()
			for range 100 {
				m, err := ringport.New(ringport.Config{Backend: name})
				if err != nil {
					t.Fatal(err)
				}
				l := listen(t, ourStack(m, name), "unix")
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
						if c, err := net.Dial("unix", l.Addr().String()); err == nil {
							c.Close()
						}
					}
					return nil
				})
				l.Close()
			}
			if err := conntest.Eventually(func() error {
				if now := descriptors(); len(now) > len(before) {
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

// TestListenConfig: Control sees the socket before it has its address; a port can be shared if that is asked for.
func TestListenConfig(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		refused := errors.New("no")
		var said []string
		lc := ListenConfig{Manager: s.m, ReusePort: true, KeepAlive: 40 * time.Second, Control: func(network, address string, c syscall.RawConn) error {
			var port int
			c.Control(func(fd uintptr) {
				if a, err := syscall.Getsockname(int(fd)); err == nil {
					port = a.(*syscall.SockaddrInet4).Port
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
		if err != nil {
			t.Fatal("a port to share:", err)
		}
		second.Close()
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
		raw, _ := c.(*Conn).SyscallConn()
		raw.Control(func(fd uintptr) {
			if idle, _ := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, keepIdle); idle != 40 {
				t.Errorf("keep-alive after %d s", idle)
			}
		})
	})
}
