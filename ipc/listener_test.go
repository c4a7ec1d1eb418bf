package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

// TestListener_EndsAccepts: Close and a context end the Accepts that wait.
func TestListener_EndsAccepts(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		l := listen(t, ListenConfig{Manager: m, Backlog: 1})
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		waiting := conntest.Async(func() (*Conn, error) { return l.AcceptContext(ctx) })
		conntest.InFlight(t, m, 1)
		cancel(cause)
		if c, err := waiting(); c != nil || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("a context: %v, %v", c, err)
		}
		var all []func() (net.Conn, error)
		for range 5 {
			all = append(all, conntest.Async(l.Accept))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		all = append(all, l.Accept)
		for _, wait := range all {
			var e *net.OpError
			if c, err := wait(); c != nil || !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) || e.Op != "accept" || e.Net != network {
				t.Errorf("%v, %v", c, err)
			}
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close: %v", err)
		}
		conntest.InFlight(t, m, 0)
	})
}

// TestListen_InUse: a name has one listener; when that is closed it is free again, also while clients that were not accepted are open.
func TestListen_InUse(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		lc := ListenConfig{Manager: m}
		name := unused(t)
		if _, err := Dial(context.Background(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nobody listens: %v", err)
		}
		for range 3 {
			l, err := lc.Listen(name)
			if err != nil {
				t.Fatal(err)
			}
			if second, err := lc.Listen(name); second != nil || !errors.Is(err, ErrInUse) {
				t.Errorf("a second listener: %v, %v", second, err)
			}
			c := dial(t, m, l) // is not disturbed
			accept(t, l).Close()
			c.Close()
			waiting := dial(t, m, l)
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := Dial(context.Background(), name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nobody listens any more: %v", err)
			}
			if n, err := waiting.Read(make([]byte, 8)); n != 0 || err == nil {
				t.Errorf("a client that was not accepted: %d, %v", n, err)
			}
		}
	})
}

// TestListener_ClientLeaves: a client that connects and leaves at once, before or while Accept waits, is none but a connection at its end,
// and the next is served.
func TestListener_ClientLeaves(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		l := listen(t, ListenConfig{Manager: m, Backlog: 2})
		serving := conntest.Async(func() (int, error) {
			for {
				c, err := l.Accept()
				if err != nil {
					return 0, err
				}
				io.Copy(c, onlyReader{c})
				c.Close()
			}
		})
		for range 200 {
			dial(t, m, l).Close()
		}
		c := dial(t, m, l)
		c.Write([]byte("hello"))
		if err := conntest.Expect(c, []byte("hello")); err != nil {
			t.Error(err)
		}
		c.Close()
		l.Close()
		if _, err := serving(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestDial_Waits: while the backlog is full Dial waits, and its context ends it; when Accept makes room it goes on, and no client is lost.
func TestDial_Waits(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		l := listen(t, ListenConfig{Manager: m, Backlog: 1})
		clients := fill(t, m, l)
		ctx, cancel := context.WithCancel(context.Background())
		waiting := conntest.Async(func() (*Conn, error) { return (&Dialer{Manager: m}).Dial(ctx, l.Addr().String()) })
		var more []func() (*Conn, error)
		for range 10 {
			more = append(more, conntest.Async(func() (*Conn, error) {
				c, err := (&Dialer{Manager: m}).Dial(context.Background(), l.Addr().String())
				if err == nil {
					defer c.Close()
					err = conntest.Expect(c, []byte("welcome"))
				}
				return c, err
			}))
		}
		cancel()
		if c, err := waiting(); c != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", c, err)
		}
		for range clients + len(more) {
			c := accept(t, l)
			c.Write([]byte("welcome"))
		}
		for _, wait := range more {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

// fill connects until the backlog is full, and returns how many clients that took. It asks the system: a Dial that runs out of time may have been slow.
func fill(t *testing.T, m *ringport.Manager, l *Listener) (clients int) {
	t.Helper()
	for findsRoom(t, l) {
		if clients++; clients > 100 {
			t.Fatal("the backlog has no end")
		}
	}
	d := Dialer{Manager: m, Timeout: 50 * time.Millisecond}
	var e *net.OpError
	if c, err := d.Dial(context.Background(), l.Addr().String()); c != nil || clients == 0 || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || !e.Timeout() {
		t.Fatalf("after %d clients: %v, %v", clients, c, err)
	}
	conntest.InFlight(t, m, 0)
	return clients
}

// TestDial_WaitsInVain: who waits in Dial when the listener is closed is told that nobody listens.
func TestDial_WaitsInVain(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		l := listen(t, ListenConfig{Manager: m, Backlog: 1})
		fill(t, m, l)
		waiting := conntest.Async(func() (*Conn, error) { return (&Dialer{Manager: m}).Dial(context.Background(), l.Addr().String()) })
		if m.Stats().Backend != ringport.BackendPool { // which asks again from time to time
			conntest.InFlight(t, m, 1)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if c, err := waiting(); c != nil || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// TestDial_Burst: many clients at once are all served, though the backlog is short.
func TestDial_Burst(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		l := listen(t, ListenConfig{Manager: m, Backlog: 3})
		serving := conntest.Async(func() (int, error) {
			for n := 0; ; n++ {
				c, err := l.Accept()
				if err != nil {
					return n, err
				}
				if _, err := c.Write([]byte("welcome")); err != nil {
					return n, err
				}
				c.Close()
			}
		})
		const clients = 100
		var waits []func() (int, error)
		for range clients {
			waits = append(waits, conntest.Async(func() (int, error) {
				c, err := (&Dialer{Manager: m}).Dial(context.Background(), l.Addr().String())
				if err != nil {
					return 0, err
				}
				defer c.Close()
				return 0, expectEnd(c, []byte("welcome"))
			}))
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		l.Close()
		if n, err := serving(); n != clients || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%d served, %v", n, err)
		}
	})
}

// TestListener_CloseWhileDialing: clients keep dialing, some accept, and Close returns, 1000 times; what was accepted works or has ended, what
// was not is an error or has ended, and the name can be listened at again at once. See go-winio's issues 281 and 357.
func TestListener_CloseWhileDialing(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		lc := ListenConfig{Manager: m, Backlog: 2}
		name := unused(t)
		done := make(chan struct{})
		var dialed, accepted atomic.Int64
		var clients []func() (int, error)
		for range 4 {
			clients = append(clients, conntest.Async(func() (int, error) {
				for {
					select {
					case <-done:
						return 0, nil
					default:
					}
					c, err := (&Dialer{Manager: m, Timeout: patience.Limit}).Dial(context.Background(), name)
					if errors.Is(err, context.DeadlineExceeded) {
						return 0, err
					}
					if err != nil { // nobody listens, or not any more
						continue
					}
					dialed.Add(1)
					if n, err := c.Read(make([]byte, 8)); n != 0 && n != 2 {
						return 0, fmt.Errorf("%d bytes, %v", n, err)
					}
					c.Close()
				}
			}))
		}
		for round := range 1000 {
			l, err := lc.Listen(name)
			if err != nil {
				t.Fatal(round, err)
			}
			came := make(chan struct{})
			accepting := conntest.Async(func() (int, error) {
				for n := 0; ; n++ {
					c, err := l.Accept()
					if err != nil {
						return n, err
					}
					if n == 0 {
						close(came)
					}
					accepted.Add(1)
					c.Write([]byte("ok"))
					c.Close()
				}
			})
			if round%2 == 0 { // in the other rounds it is closed at once
				select {
				case <-came:
				case <-time.After(patience.Limit):
					t.Fatal(round, "nobody came")
				}
			}
			if _, err := conntest.Async(func() (int, error) { return 0, l.Close() })(); err != nil {
				t.Fatal(round, err)
			}
			if _, err := accepting(); !errors.Is(err, net.ErrClosed) {
				t.Fatal(round, err)
			}
		}
		close(done)
		for _, wait := range clients {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		t.Logf("%d dialed, %d accepted", dialed.Load(), accepted.Load())
	})
}
