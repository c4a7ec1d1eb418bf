package rnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

func forNetworks(t *testing.T, f func(t *testing.T, s stack, network string)) {
	forEach(t, func(t *testing.T, s stack) {
		for _, network := range streamNetworks {
			t.Run(network, func(t *testing.T) { f(t, s, network) })
		}
	})
}

// TestConn_Stream: what one side writes the other reads, both ways at once, and then the end.
func TestConn_Stream(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		client, server := pair(t, s, network)
		data := conntest.Pattern(4 << 20)
		if network == "unixpacket" {
			data = data[:64<<10] // one packet
		}
		send := func(c net.Conn) error {
			if n, err := c.Write(data); n != len(data) || err != nil {
				return fmt.Errorf("write: %d, %v", n, err)
			}
			return c.(*Conn).CloseWrite()
		}
		receive := func(c net.Conn) error {
			if network == "unixpacket" {
				buf := make([]byte, len(data))
				if n, err := c.Read(buf); !bytes.Equal(buf[:n], data) || err != nil {
					return fmt.Errorf("a packet: %d bytes, %v", n, err)
				}
			} else if err := conntest.Expect(c, data); err != nil {
				return err
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				return fmt.Errorf("after CloseWrite: %d, %v", n, err)
			}
			return nil
		}
		conntest.Together(t, func() error { return send(client) }, func() error { return send(server) },
			func() error { return receive(client) }, func() error { return receive(server) })
	})
}

// TestConn_Addresses: they are as package net has them, at both ends of a connection between the two.
func TestConn_Addresses(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		for _, sides := range [][2]stack{{s, netStack}, {netStack, s}} {
			l := listen(t, sides[0], network)
			accepted := conntest.Async(func() (net.Conn, error) { return l.Accept() })
			client, err := sides[1].dial(context.Background(), network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := accepted()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			for what, both := range map[string][2]net.Addr{
				"of the server": {server.LocalAddr(), client.RemoteAddr()},
				"of the client": {server.RemoteAddr(), client.LocalAddr()},
				"listened at":   {l.Addr(), client.RemoteAddr()},
			} {
				if a, b := fmt.Sprintf("%T %[1]v %s", both[0], both[0].Network()), fmt.Sprintf("%T %[1]v %s", both[1], both[1].Network()); a != b {
					t.Errorf("the address %s: %s and %s", what, a, b)
				}
			}
		}
	})
}

// TestConn_WriteBuffers: all buffers, in their order, and they are used up; also more of them than one operation takes.
func TestConn_WriteBuffers(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		client, server := pair(t, s, "tcp")
		data := conntest.Pattern(3000 * 100)
		var bufs net.Buffers
		for i := range 3000 {
			bufs = append(bufs, data[i*100:(i+1)*100])
		}
		conntest.Together(t, func() error { return conntest.Expect(server, data) }, func() error {
			if n, err := client.(*Conn).WriteBuffers(&bufs); n != int64(len(data)) || err != nil || len(bufs) != 0 {
				return fmt.Errorf("%d, %v, %d buffers left", n, err, len(bufs))
			}
			return nil
		})
		client.SetWriteDeadline(time.Unix(1, 0))
		bufs = net.Buffers{data[:10], data[10:20]}
		if n, err := client.(*Conn).WriteBuffers(&bufs); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || len(bufs) != 2 {
			t.Errorf("past the deadline: %d, %v, %d buffers left", n, err, len(bufs))
		}
	})
}

// TestContextDeadline: the end of a context with a deadline is a timeout, and its cause is found, but it is not SetDeadline's error.
func TestContextDeadline(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		client, _ := pair(t, s, "tcp")
		l := listen(t, s, "tcp")
		packets, err := s.listenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		for what, call := range map[string]func(ctx context.Context) error{
			"read": func(ctx context.Context) error {
				_, err := client.(*Conn).WithContext(ctx).Read(make([]byte, 8))
				return err
			},
			"accept": func(ctx context.Context) error { _, err := l.(*Listener).AcceptContext(ctx); return err },
			"receive": func(ctx context.Context) error {
				_, _, err := packets.(*PacketConn).WithContext(ctx).ReadFrom(make([]byte, 8))
				return err
			},
		} {
			cause := errors.New("too slow")
			for _, after := range []time.Duration{-time.Second, time.Millisecond} {
				for want, ctx := range map[error]func() (context.Context, context.CancelFunc){
					context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
						return context.WithTimeout(context.Background(), after)
					},
					cause: func() (context.Context, context.CancelFunc) {
						return context.WithTimeoutCause(context.Background(), after, cause)
					},
				} {
					ctx, cancel := ctx()
					err := call(ctx)
					cancel()
					var e net.Error
					if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, want) || !errors.As(err, &e) || !e.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s, %v, want %v: %v", what, after, want, err)
					}
				}
			}
		}
	})
}

// TestConn_Reset: a peer that resets the connection is an error for who reads and writes, and no end of file.
func TestConn_Reset(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		for name, before := range map[string]func(c net.Conn){
			"waiting":          func(c net.Conn) {},
			"not read":         func(c net.Conn) { c.Write([]byte("data that is never read")) },
			"after much of it": func(c net.Conn) { c.Write(conntest.Pattern(100 << 10)) },
		} {
			client, server := pair(t, s, "tcp")
			before(client)
			read := conntest.Async(func() (int64, error) { return io.Copy(io.Discard, readerOnly{client}) })
			conntest.InFlight(t, s.m, 1)
			if err := server.(*Conn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			server.Close()
			_, err := read()
			var e *net.OpError
			if !errors.Is(err, errReset) || !errors.As(err, &e) || e.Op != "read" || e.Timeout() {
				t.Errorf("%s: %v", name, err)
			}
			for err = nil; err == nil; {
				_, err = client.Write([]byte("x"))
			}
			if !errors.Is(err, errPipe) && !errors.Is(err, errReset) {
				t.Errorf("%s: a write: %v", name, err)
			}
		}
	})
}

// TestConn_HalfClose: each side can end its sending and go on receiving, and its receiving and go on sending.
func TestConn_HalfClose(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		client, server := pair(t, s, network)
		buf := make([]byte, 16)
		client.Write([]byte("last"))
		waiting := conntest.Async(func() (int, error) {
			conntest.Expect(server, []byte("last"))
			return server.Read(make([]byte, 16))
		})
		if err := client.(*Conn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, err := waiting(); n != 0 || err != io.EOF {
			t.Errorf("after the peer's CloseWrite: %d, %v", n, err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, errPipe) {
			t.Errorf("a write after CloseWrite: %v", err)
		}
		server.Write([]byte("answer"))
		if n, err := client.Read(buf); string(buf[:n]) != "answer" || err != nil {
			t.Errorf("the other way: %q, %v", buf[:n], err)
		}
		waiting = conntest.Async(func() (int, error) { return client.Read(make([]byte, 16)) })
		conntest.InFlight(t, s.m, 1)
		if err := client.(*Conn).CloseRead(); err != nil {
			t.Fatal(err)
		}
		if n, err := waiting(); n != 0 || err != io.EOF {
			t.Errorf("a read that waits, after CloseRead: %d, %v", n, err)
		}
		client.Close()
		for what, f := range map[string]func() error{"CloseRead": client.(*Conn).CloseRead, "CloseWrite": client.(*Conn).CloseWrite} {
			if err := f(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s of what is closed: %v", what, err)
			}
		}
	})
}

// TestConn_BackPressure: a peer that doesn't read holds the writer up, who keeps nothing but what it was given, and can be ended; what
// was sent until then arrives.
func TestConn_BackPressure(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		client, server := pair(t, s, network)
		chunk := conntest.Pattern(64 << 10)
		var sent atomic.Int64
		writing := conntest.Async(func() (int, error) {
			for {
				n, err := client.Write(chunk)
				sent.Add(int64(n))
				if err != nil {
					return n, err
				}
			}
		})
		var was, is runtime.MemStats
		runtime.GC() // this test makes garbage of its own
		runtime.ReadMemStats(&was)
		if err := patience.Until(func() error { // the systems' buffers may grow for a while
			conntest.InFlight(t, s.m, 1)
			before := sent.Load()
			for range 1000 {
				runtime.Gosched()
			}
			if now := sent.Load(); now != before {
				return fmt.Errorf("it goes on: %d bytes, then %d", before, now)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&is)
		if is.HeapAlloc > was.HeapAlloc+1<<20 {
			t.Errorf("the heap has grown from %d bytes to %d", was.HeapAlloc, is.HeapAlloc)
		}
		ctxErr := func() error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_, err := client.(*Conn).WithContext(ctx).Write([]byte("x"))
			return err
		}()
		if !errors.Is(ctxErr, context.Canceled) {
			t.Errorf("a view whose context is over: %v", ctxErr)
		}
		client.SetWriteDeadline(time.Unix(1, 0))
		if _, err := writing(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline: %v", err)
		}
		client.Close()
		n, err := io.Copy(io.Discard, readerOnly{server})
		if network == "unixpacket" && n > 0 { // io.Copy's buffer cuts packets
			n = sent.Load()
		}
		if n != sent.Load() || err != nil {
			t.Errorf("%d bytes of %d arrived, %v", n, sent.Load(), err)
		}
	})
}

// TestConn_ReadOfNothing: a Read that has no room for a byte waits for none. (Package net's does on Windows.)
func TestConn_ReadOfNothing(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		client, _ := pair(t, s, network)
		client.SetReadDeadline(time.Now().Add(patience.Limit))
		if n, err := client.Read(nil); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// TestConn_MoreToRead: a read after one that filled its buffer, which need not wait, obeys deadlines and contexts as well, waits if there is
// nothing, and finds the end and a reset.
func TestConn_MoreToRead(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		for _, end := range []string{"end", "reset"} {
			client, server := pair(t, s, "tcp")
			if _, err := server.Write([]byte("onetwothr")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 3)
			read := func(c net.Conn, text string, want error) {
				t.Helper()
				if n, err := c.Read(buf); string(buf[:n]) != text || !errors.Is(err, want) {
					t.Errorf("%q, %v; want %q, %v", buf[:n], err, text, want)
				}
			}
			if err := conntest.Expect(client, []byte("one")); err != nil {
				t.Fatal(err)
			}
			client.SetReadDeadline(time.Unix(1, 0))
			read(client, "", os.ErrDeadlineExceeded)
			client.SetReadDeadline(time.Time{})
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			read(client.(*Conn).WithContext(ctx), "", context.Canceled)
			read(client, "two", nil)
			read(client, "thr", nil)
			later := conntest.Async(func() (int, error) { return client.Read(buf) })
			conntest.InFlight(t, s.m, 1)
			server.Write([]byte("fou"))
			if n, err := later(); string(buf[:n]) != "fou" || err != nil {
				t.Errorf("%q, %v", buf[:n], err)
			}
			if end == "reset" {
				server.(*Conn).SetLinger(0)
			}
			server.Close()
			if n, err := client.Read(buf); n != 0 || !errors.Is(err, map[string]error{"end": io.EOF, "reset": errReset}[end]) {
				if end == "reset" && resetsGetLost && err == io.EOF {
					continue
				}
				t.Errorf("%s: %q, %v", end, buf[:n], err)
			}
		}
	})
}

// TestConn_Contexts: the end of a context ends what waits on a view, takes no byte with it, and harms no other view.
func TestConn_Contexts(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		client, server := pair(t, s, network)
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		waiting := conntest.Async(func() (int, error) { return client.(*Conn).WithContext(ctx).Read(make([]byte, 16)) })
		conntest.InFlight(t, s.m, 1)
		cancel(cause)
		if n, err := waiting(); n != 0 || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("%d, %v", n, err)
		}
		server.Write([]byte("kept"))
		if err := conntest.Expect(client, []byte("kept")); err != nil {
			t.Error(err)
		}
	})
}

// TestConn_CloseEndsEverything: Close wakes who reads and who writes, and the manager's Close does.
func TestConn_CloseEndsEverything(t *testing.T) {
	forNetworks(t, func(t *testing.T, s stack, network string) {
		client, _ := pair(t, s, network)
		reading := conntest.Async(func() (int, error) { return client.Read(make([]byte, 16)) })
		writing := conntest.Async(func() (int, error) {
			for {
				if n, err := client.Write(make([]byte, 64<<10)); err != nil {
					return n, err
				}
			}
		})
		conntest.InFlight(t, s.m, 2)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		for what, wait := range map[string]func() (int, error){"read": reading, "write": writing} {
			_, err := wait()
			var e *net.OpError
			if !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) || e.Op != what {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := client.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close: %v", err)
		}
	})
}

// TestConn_DeadlineChanges: of 100,000 changes of the deadline while data goes both ways, those to a time that comes end what waits, or what begins
// next, the others end nothing, and no byte is lost or comes twice.
func TestConn_DeadlineChanges(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		client, server := pair(t, s, "tcp")
		const changes, dueEach = 100_000, 500
		var due atomic.Bool // the deadline will come, or has come
		ended, renewed := make(chan struct{}), make(chan struct{})
		done, stopped := make(chan struct{}), make(chan struct{})
		move := func(p []byte, f func([]byte) (int, error)) error {
			for len(p) > 0 {
				n, err := f(p)
				p = p[n:]
				switch {
				case err == nil:
				case errors.Is(err, os.ErrDeadlineExceeded) && due.Load():
					select {
					case ended <- struct{}{}:
						<-renewed
					case <-done:
						return nil
					}
				default:
					return err
				}
			}
			return nil
		}
		echo := func() error {
			_, err := io.Copy(server, readerOnly{server})
			return err
		}
		talk := func() error {
			defer close(stopped)
			defer client.(*Conn).CloseWrite()
			for trip := 0; ; trip++ {
				select {
				case <-done:
					return nil
				default:
				}
				data, back := conntest.Pattern(1000+trip%100), make([]byte, 1000+trip%100)
				if err := move(data, client.Write); err != nil {
					return err
				}
				if err := move(back, client.Read); err != nil {
					return err
				}
				if !bytes.Equal(back, data) {
					return fmt.Errorf("trip %d came back as something else", trip)
				}
			}
		}
		change := func() error {
			defer close(done)
			sets := []func(time.Time) error{client.SetReadDeadline, client.SetWriteDeadline, client.SetDeadline}
			for i := range changes {
				at := time.Now().Add(time.Hour + time.Duration(i))
				if i%7 == 0 {
					at = time.Time{}
				}
				if err := sets[i%3](at); err != nil {
					return err
				}
				if i%dueEach != 0 {
					continue
				}
				due.Store(true)
				which, in := i/dueEach%3, time.Duration(i/dueEach%5-1)*50*time.Microsecond
				if err := sets[which](time.Now().Add(in)); err != nil {
					return err
				}
				select {
				case <-ended:
				case <-stopped:
					return fmt.Errorf("no traffic after %d changes", i)
				case <-time.After(patience.Limit):
					return fmt.Errorf("change %d, to a deadline in %v, ended nothing", i, in)
				}
				client.SetDeadline(time.Time{})
				due.Store(false)
				renewed <- struct{}{}
			}
			return nil
		}
		conntest.Together(t, echo, talk, change)
	})
}

// TestConn_Options: they reach the socket.
func TestConn_Options(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		client, server := pair(t, s, "tcp")
		option := func(c net.Conn, level, name int) (value int) {
			raw, err := c.(*Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.Control(func(fd uintptr) { value, err = ringport.SocketOption(ringport.Handle(fd), level, name) }); err != nil {
				t.Fatal(err)
			}
			return value
		}
		for _, c := range []net.Conn{client, server} { // as package net begins them
			if v := option(c, syscall.IPPROTO_TCP, syscall.TCP_NODELAY); v == 0 {
				t.Error("a connection begins with delay")
			}
			if on, idle := option(c, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE), option(c, syscall.IPPROTO_TCP, keepIdle); on == 0 || idle != 15 {
				t.Errorf("a connection begins with keep-alive %d, %d s", on, idle)
			}
		}
		c := client.(*Conn)
		for name, err := range map[string]error{
			"SetNoDelay": c.SetNoDelay(false), "SetKeepAliveConfig": c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 1500 * time.Millisecond, Count: 3}),
			"SetReadBuffer": c.SetReadBuffer(40 << 10), "SetWriteBuffer": c.SetWriteBuffer(50 << 10),
			"SetLinger": c.SetLinger(-1),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, o := range []struct {
			name              string
			level, number, is int
		}{
			{"no delay", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 0},
			{"keep-alive idle", syscall.IPPROTO_TCP, keepIdle, 60},
			{"keep-alive interval", syscall.IPPROTO_TCP, keepInterval, 2},
			{"keep-alive count", syscall.IPPROTO_TCP, keepCount, 3},
		} {
			if v := option(client, o.level, o.number); v != o.is {
				t.Errorf("%s: %d, want %d", o.name, v, o.is)
			}
		}
		if v := option(client, syscall.SOL_SOCKET, syscall.SO_RCVBUF); v < 40<<10 {
			t.Errorf("receive buffer: %d", v)
		}
		if err := c.SetKeepAlivePeriod(30 * time.Second); err != nil || option(client, syscall.IPPROTO_TCP, keepIdle) != 30 {
			t.Errorf("SetKeepAlivePeriod: %v", err)
		}
		if err := c.SetKeepAlive(false); err != nil || option(client, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) != 0 {
			t.Errorf("SetKeepAlive: %v", err)
		}
		if unixSockets {
			unix, _ := pair(t, s, "unix")
			var e *net.OpError
			if err := unix.(*Conn).SetNoDelay(true); !errors.As(err, &e) || e.Op != "set" {
				t.Errorf("SetNoDelay of a Unix socket: %v", err)
			}
		}
		c.Close()
		if err := c.SetNoDelay(true); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetNoDelay of what is closed: %v", err)
		}
	})
}

// TestConn_SyscallConn: functions that expect a non-blocking socket wait as their caller does, and after that everything goes on.
func TestConn_SyscallConn(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		client, server := pair(t, s, "tcp")
		raw, err := client.(*Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 16)
		n := 0
		waiting := conntest.Async(func() (int, error) {
			err := raw.Read(func(fd uintptr) bool {
				var again bool
				n, again, err = tryRead(s.m, ringport.Handle(fd), buf)
				return !again
			})
			return n, err
		})
		conntest.InFlight(t, s.m, 1)
		server.Write([]byte("hello"))
		if n, err := waiting(); string(buf[:n]) != "hello" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
		if err := raw.Write(func(fd uintptr) bool {
			n, err = writeTo(s.m, ringport.Handle(fd), []byte("answer"))
			return true
		}); err != nil {
			t.Error(err)
		}
		if err := conntest.Expect(server, []byte("answer")); err != nil {
			t.Error(err)
		}
		later := conntest.Async(func() (int, error) { return client.Read(buf) })
		conntest.InFlight(t, s.m, 1)
		server.Write([]byte("again"))
		if n, err := later(); string(buf[:n]) != "again" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
		client.Close()
		if err := raw.Control(func(uintptr) {}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Control of what is closed: %v", err)
		}
		if err := raw.Read(func(uintptr) bool { return true }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read of what is closed: %v", err)
		}
	})
}

// TestConn_NoAllocations: neither a read nor a write needs memory, whether it waits or not.
func TestConn_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	forEach(t, func(t *testing.T, s stack) {
		client, server := pair(t, s, "tcp")
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				server.Write(buf[:n])
			}
		}()
		buf := make([]byte, 4096)
		client.SetDeadline(time.Now().Add(time.Hour))
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := client.Write(buf[:64]); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Read(buf); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
		client.Close()
	})
}

// TestConn_ManagerCloses: connections of a closed manager say so, and can still be closed.
func TestConn_ManagerCloses(t *testing.T) {
	for _, name := range backendsHere(t) {
		t.Run(name, func(t *testing.T) {
			m, err := ringport.New(ringport.Config{Backend: name})
			if err != nil {
				t.Fatal(err)
			}
			s := ourStack(m, name)
			client, server := pair(t, s, "tcp")
			l := listen(t, s, networks[len(networks)-1])
			waiting := map[string]func() (int, error){
				"read":   conntest.Async(func() (int, error) { return client.Read(make([]byte, 16)) }),
				"accept": conntest.Async(func() (int, error) { _, err := l.Accept(); return 0, err }),
			}
			conntest.InFlight(t, m, 2)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			waiting["a later write"] = conntest.Async(func() (int, error) { return server.Write([]byte("x")) })
			waiting["a later dial"] = conntest.Async(func() (int, error) {
				_, err := s.dial(context.Background(), "tcp", "127.0.0.1:1")
				return 0, err
			})
			for what, wait := range waiting {
				if _, err := wait(); !errors.Is(err, net.ErrClosed) || !errors.Is(err, ringport.ErrManagerClosed) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for _, c := range []io.Closer{client, server, l} {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
