package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

// expectEnd reads what must come, and then the end.
func expectEnd(r io.Reader, want []byte) error {
	if err := conntest.Expect(r, want); err != nil {
		return err
	}
	for range 2 {
		if n, err := r.Read(make([]byte, 8)); n != 0 || err != io.EOF {
			return fmt.Errorf("at the end: %d, %v", n, err)
		}
	}
	return nil
}

// TestConn_Stream: what one side writes the other reads, both ways at once, and then the end, though it was closed long before.
func TestConn_Stream(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		client, server := pair(t, ListenConfig{Manager: m})
		data := conntest.Pattern(1 << 20)
		send := func(c *Conn) error {
			if n, err := c.Write(data); n != len(data) || err != nil {
				return fmt.Errorf("write: %d, %v", n, err)
			}
			return nil
		}
		conntest.Together(t, func() error { return send(client) }, func() error { return send(server) },
			func() error { return conntest.Expect(client, data) }, func() error { return conntest.Expect(server, data) })
		server.Write(data[:1000])
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := expectEnd(client, data[:1000]); err != nil {
			t.Error(err)
		}
		if err := patience.Until(func() error { // the system may take one more
			if _, err := client.Write(data[:1]); !errors.Is(err, syscall.EPIPE) {
				return fmt.Errorf("a write to nobody: %v", err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestConn_Ends: a context, a deadline and Close end what waits, with their error, and lose no byte.
func TestConn_Ends(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		client, server := pair(t, ListenConfig{Manager: m})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		fill := func() (int, error) {
			for {
				if n, err := client.WithContext(ctx).Write(make([]byte, 64<<10)); err != nil {
					return n, err
				}
			}
		}
		for _, c := range []struct {
			name string
			call func() (int, error)
			op   string
			end  func()
			want error
		}{
			{"a context", func() (int, error) { return client.WithContext(ctx).Read(make([]byte, 8)) }, "read", func() { cancel(cause) }, cause},
			{"its deadline", func() (int, error) { return client.Read(make([]byte, 8)) }, "read", func() { client.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		} {
			waiting := conntest.Async(c.call)
			conntest.InFlight(t, m, 1)
			c.end()
			n, err := waiting()
			var e *net.OpError
			if n != 0 || !errors.Is(err, c.want) || !errors.As(err, &e) || e.Op != c.op || e.Addr != client.RemoteAddr() {
				t.Errorf("%s: %d, %v", c.name, n, err)
			}
		}
		client.SetDeadline(time.Time{})
		server.Write([]byte("kept"))
		if err := conntest.Expect(client, []byte("kept")); err != nil {
			t.Error(err)
		}

		ctx, cancel = context.WithCancelCause(context.Background())
		waiting := conntest.Async(fill)
		conntest.InFlight(t, m, 1)
		client.SetWriteDeadline(time.Unix(1, 0))
		var e net.Error
		if _, err := waiting(); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &e) || !e.Timeout() {
			t.Errorf("a write's deadline: %v", err)
		}
		client.SetDeadline(time.Time{})
		cancel(nil)

		reading := conntest.Async(func() (int, error) { return client.Read(make([]byte, 8)) })
		conntest.InFlight(t, m, 1)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if _, err := reading(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
		for what, f := range map[string]func() error{
			"a second Close": client.Close,
			"a read":         func() error { _, err := client.Read(make([]byte, 8)); return err },
			"a write":        func() error { _, err := client.Write(make([]byte, 8)); return err },
			"a deadline":     func() error { return client.SetDeadline(time.Time{}) },
			"a peer":         func() error { _, err := client.Peer(); return err },
		} {
			if err := f(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s of what is closed: %v", what, err)
			}
		}
	})
}

// TestConn_ManagerCloses: the manager's Close ends connections and Accept, says so, and leaves no reason for Close not to return.
func TestConn_ManagerCloses(t *testing.T) {
	forEach(t, func(t *testing.T, _ *ringport.Manager) {
		m, err := ringport.New(ringport.Config{})
		if err != nil {
			t.Fatal(err)
		}
		l := listen(t, ListenConfig{Manager: m, Backlog: 2})
		client := dial(t, m, l)
		accept(t, l)
		reading := conntest.Async(func() (int, error) { return client.Read(make([]byte, 8)) })
		accepting := conntest.Async(func() (net.Conn, error) { return l.Accept() })
		other := listen(t, ListenConfig{Manager: m, Backlog: 1})
		dial(t, nil, other) // is there, and not accepted
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		_, read := reading()
		_, accepted := accepting()
		_, again := l.Accept()
		_, client1 := other.Accept()
		_, client2 := other.Accept()
		_, dialed := (&Dialer{Manager: m}).Dial(context.Background(), l.Addr().String())
		for what, err := range map[string]error{"read": read, "accept": accepted, "another accept": again, "dial": dialed,
			"a client that waits": client1, "and again": client2} {
			if !errors.Is(err, ringport.ErrManagerClosed) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, l := range []*Listener{l, other} {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestConn_DeadlineChanges: changes of the deadline under traffic end nothing, and lose nothing.
func TestConn_DeadlineChanges(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		client, server := pair(t, ListenConfig{Manager: m})
		done := make(chan struct{})
		var trips atomic.Int64
		conntest.Together(t, func() error {
			_, err := io.Copy(server, onlyReader{server})
			return err
		}, func() error {
			defer client.Close()
			for data := conntest.Pattern(1000); ; trips.Add(1) {
				select {
				case <-done:
					return nil
				default:
				}
				if _, err := client.Write(data); err != nil {
					return err
				}
				if err := conntest.Expect(client, data); err != nil {
					return err
				}
			}
		}, func() error {
			defer close(done)
			for i := 0; i < 10_000 || trips.Load() < 10; i++ {
				if err := client.SetDeadline(time.Now().Add(time.Hour + time.Duration(i))); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// TestConn_Peer: both sides know which process and which user is at the other end, also of another process.
func TestConn_Peer(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		check := func(c *Conn, pid int) {
			t.Helper()
			p, err := c.Peer()
			if err != nil || p.PID != pid || p.UserID != userID(t) {
				t.Errorf("%+v, %v; want process %d of user %s", p, err, pid, userID(t))
			}
		}
		l := listen(t, ListenConfig{Manager: m})
		pid, wait := child(t, "dial", l.Addr().String())
		c := accept(t, l)
		check(c, pid)
		c.Write([]byte("hello"))
		if err := conntest.Expect(c, []byte("hello")); err != nil {
			t.Error(err)
		}
		check(c, pid)
		c.Close()
		if err := wait(); err != nil {
			t.Error(err)
		}
		client, server := pair(t, ListenConfig{Manager: m})
		check(client, os.Getpid())
		check(server, os.Getpid())
		server.Close()
		check(client, os.Getpid())
	})
}

// TestDialer_ExpectedOwner: who is not expected gets no connection, and not one byte.
func TestDialer_ExpectedOwner(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		l := listen(t, ListenConfig{Manager: m})
		for owner, want := range map[string]error{userID(t): nil, "": nil, stranger: ErrOwner} {
			d := Dialer{Manager: m, ExpectedOwner: owner}
			c, err := d.Dial(context.Background(), l.Addr().String())
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%q: %v", owner, err)
			}
			server := accept(t, l)
			if c != nil {
				c.Close()
			}
			if n, err := server.Read(make([]byte, 8)); n != 0 || err != io.EOF {
				t.Errorf("%q: the server read %d bytes, %v", owner, n, err)
			}
		}
	})
}

// TestDialer_BadOwner: an owner that nobody can be is refused before anything is connected to.
func TestDialer_BadOwner(t *testing.T) {
	l := listen(t, ListenConfig{})
	for _, owner := range append(notUsers, "root", "-1", " ") {
		d := Dialer{ExpectedOwner: owner}
		c, err := d.Dial(context.Background(), l.Addr().String())
		var wrong *ringport.ConfigError
		if c != nil || !errors.As(err, &wrong) || wrong.Field != "ExpectedOwner" || wrong.Value != owner || errors.Is(err, ErrOwner) {
			t.Errorf("%q: %v, %v", owner, c, err)
		}
	}
	if _, err := dial(t, nil, l).Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := conntest.Expect(accept(t, l), []byte("first")); err != nil {
		t.Errorf("who was refused had connected: %v", err)
	}
}

// TestListen_BadConfig: what can't be is an error that says what.
func TestListen_BadConfig(t *testing.T) {
	for field, lc := range map[string]ListenConfig{
		"Backlog": {Backlog: 1 << 16}, "InputBufferBytes": {InputBufferBytes: -1}, "OutputBufferBytes": {OutputBufferBytes: -2}, "Mode": {Mode: os.ModeDir | 0o600},
	} {
		var wrong *ringport.ConfigError
		if l, err := lc.Listen(unused(t)); l != nil || !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v, %v", field, l, err)
		}
	}
}

// TestAddr: both ends and the listener have the listener's, and it can be dialed.
func TestAddr(t *testing.T) {
	client, server := pair(t, ListenConfig{})
	for _, a := range []net.Addr{client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr()} {
		if a != client.addr || a.Network() != network {
			t.Errorf("%s %v", a.Network(), a)
		}
	}
	name := "ringport-test-" + strconv.Itoa(os.Getpid())
	if path, err := Path(name); err != nil {
		t.Error(err)
	} else if again, err := Path(path); again != path || err != nil {
		t.Errorf("the path of a path: %s, %v", again, err)
	}
}
