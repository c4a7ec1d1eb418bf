package ringport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newSocket(t testing.TB, m *Manager, domain, kind int) Handle {
	t.Helper()
	h := Handle(do(t, m, ptr(func(op *Op) { *op = Socket(domain, kind, 0) })))
	own(t, h)
	return h
}

// listener makes one on the loopback, and returns where.
func listener(t testing.TB, m *Manager, backlog int) (Handle, SocketAddress) {
	t.Helper()
	at := mustAddress(t, "127.0.0.1:0")
	l := newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM)
	do(t, m, ptr(func(op *Op) { *op = Bind(l, at) }))
	do(t, m, ptr(func(op *Op) { *op = Listen(l, backlog) }))
	at, err := LocalAddress(l)
	if err != nil {
		t.Fatal(err)
	}
	return l, at
}

func mustAddress(t testing.TB, text string) SocketAddress {
	t.Helper()
	at, err := IPAddress(netip.MustParseAddrPort(text))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// connection makes one, and returns its ends.
func connection(t testing.TB, m *Manager) (client, server Handle) {
	t.Helper()
	l, at := listener(t, m, 1)
	client = newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM)
	ch := start(t, m, ptr(func(op *Op) { *op = Accept(l, nil) }))
	do(t, m, ptr(func(op *Op) { *op = Connect(client, at) }))
	accepted := receive(t, m, ch)
	if accepted.err != nil {
		t.Fatal(accepted.err)
	}
	server = Handle(accepted.n)
	own(t, server)
	return client, server
}

// TestSocket_Echo: a server of callbacks, a client that waits, and the end of the stream.
func TestSocket_Echo(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		l, at := listener(t, m, 16)
		served := make(chan error, 2)
		var peer SocketAddress
		accept := Accept(l, &peer)
		buf := make([]byte, 64)
		var onRecv func(op *Op)
		onRecv = func(op *Op) {
			n, err := op.Result()
			if err != nil {
				served <- err
				return
			}
			h := op.req.FD
			*op = Send(h, buf[:n], 0)
			m.Start(op, func(op *Op) {
				*op = Recv(h, buf, 0)
				m.Start(op, onRecv)
			})
		}
		if err := m.Start(&accept, func(op *Op) {
			n, err := op.Result()
			if err != nil {
				served <- err
				return
			}
			own(t, Handle(n))
			*op = Recv(Handle(n), buf, 0)
			m.Start(op, onRecv)
		}); err != nil {
			t.Fatal(err)
		}
		client := newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM)
		do(t, m, ptr(func(op *Op) { *op = Connect(client, at) }))
		for _, s := range []string{"hello", "x", strings.Repeat("long", 16)} {
			in := make([]byte, 64)
			if n := do(t, m, ptr(func(op *Op) { *op = Send(client, []byte(s), 0) })); n != len(s) {
				t.Errorf("%d", n)
			}
			if n := do(t, m, ptr(func(op *Op) { *op = Recv(client, in[:len(s)], msgWaitAll) })); string(in[:n]) != s {
				t.Errorf("%q became %q", s, in[:n])
			}
		}
		local, err := LocalAddress(client)
		if err != nil || local != peer {
			t.Errorf("accepted %v, from %v, %v", peer, local, err)
		}
		if remote, err := RemoteAddress(client); err != nil || remote.String() != at.String() {
			t.Errorf("%v, %v", remote, err)
		}
		do(t, m, ptr(func(op *Op) { *op = Shutdown(client, ShutdownWrite) }))
		if err := receive(t, m, served); err != io.EOF {
			t.Errorf("%v", err)
		}
		if v, err := SocketOption(client, syscall.SOL_SOCKET, soType); v != syscall.SOCK_STREAM || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		if err := SetSocketOption(client, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
			t.Error(err)
		}
	})
}

// TestSocket_Contexts: every wait on a socket ends with its context, and the socket is still good.
func TestSocket_Contexts(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		l, _ := listener(t, m, 1)
		client, server := connection(t, m)
		full := bytes.Repeat([]byte("x"), 64<<20)
		for name, set := range map[string]func(op *Op){
			"accept":   func(op *Op) { *op = Accept(l, nil) },
			"recv":     func(op *Op) { *op = Recv(server, make([]byte, 8), 0) },
			"recvmsg":  func(op *Op) { *op = RecvMsg(server, [][]byte{make([]byte, 8)}, nil, nil, 0) },
			"recvfrom": func(op *Op) { *op = RecvFrom(server, make([]byte, 8), new(SocketAddress), 0) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			n, err := m.Do(ctx, ptr(set))
			cancel()
			checkTyped(t, name, n, err, context.DeadlineExceeded)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		sent, err := m.Do(ctx, ptr(func(op *Op) { *op = Send(client, full, 0) }))
		if sent == 0 && !errors.Is(err, context.DeadlineExceeded) || sent == len(full) {
			t.Errorf("%d, %v", sent, err)
		}
		for received := 0; received < sent; {
			received += do(t, m, ptr(func(op *Op) { *op = Recv(server, make([]byte, 1<<20), 0) }))
		}
		ch := start(t, m, ptr(func(op *Op) { *op = Recv(server, make([]byte, 8), 0) }))
		do(t, m, ptr(func(op *Op) { *op = Send(client, []byte("good"), 0) }))
		if got := receive(t, m, ch); got.n != 4 || got.err != nil {
			t.Errorf("%+v", got)
		}
	})
}

// TestSocket_Unattached: what one manager accepts another can attach, and use, alone; it can be asked of nothing else.
func TestSocket_Unattached(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m, other := open(t, c), open(t, c)
		l, at := listener(t, m, 1)
		client := func() Handle {
			h := newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM)
			do(t, m, ptr(func(op *Op) { *op = Connect(h, at) }))
			return h
		}
		use := func(client Handle, n int, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			h := Handle(n)
			own(t, h)
			if err := other.Attach(h); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 8)
			ch := start(t, other, ptr(func(op *Op) { *op = Recv(h, buf, 0) }))
			put(t, client, "ping")
			if got := receive(t, other, ch); got.err != nil || string(buf[:got.n]) != "ping" {
				t.Errorf("%q, %v", buf[:got.n], got.err)
			}
			do(t, other, closing(h))
		}

		var peer SocketAddress
		ch := start(t, m, ptr(func(op *Op) { *op = Accept(l, &peer); op.Unattached() }))
		from := client()
		got := receive(t, m, ch)
		if local, err := LocalAddress(from); err != nil || local != peer {
			t.Errorf("accepted %v, from %v, %v", peer, local, err)
		}
		use(from, got.n, got.err)

		many := AcceptMany(l)
		shots := startMany(t, m, many.Unattached())
		for range 3 {
			from := client()
			got := receive(t, m, shots)
			use(from, got.n, got.err)
		}
		m.Cancel(&many)
		if got := receive(t, m, shots); !errors.Is(got.err, context.Canceled) || got.more {
			t.Errorf("%+v", got)
		}
		for _, set := range []func(op *Op){
			func(op *Op) { *op = Recv(from, make([]byte, 8), 0) },
			func(op *Op) { *op = Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0) },
			func(op *Op) { *op = Nop() },
		} {
			fails(t, m, "unknown", ErrInvalidOp, func(op *Op) { set(op); op.Unattached() })
		}
	})
}

// TestSocket_BadInput: what can't be said of a socket is said so, with its name.
func TestSocket_BadInput(t *testing.T) {
	for _, bad := range []netip.AddrPort{{}, netip.MustParseAddrPort("[fe80::1%lo]:1")} {
		if a, err := IPAddress(bad); !errors.Is(err, ErrInvalidAddress) || a != (SocketAddress{}) {
			t.Errorf("%v: %v, %v", bad, a, err)
		}
	}
	for _, bad := range []string{strings.Repeat("x", 200), "a\x00b"} {
		if a, err := UnixAddress(bad); !errors.Is(err, ErrInvalidAddress) || a != (SocketAddress{}) {
			t.Errorf("%q: %v, %v", bad, a, err)
		}
	}
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		file := Handle(tempFile(t, m, []byte("content")).Fd())
		for _, h := range []Handle{^Handle(0), file} {
			want := error(errNotSocket)
			if h != file {
				want = errBadHandle
			}
			for name, set := range map[string]func(op *Op){
				"bind":     func(op *Op) { *op = Bind(h, SocketAddress{}) },
				"listen":   func(op *Op) { *op = Listen(h, -1) },
				"accept":   func(op *Op) { *op = Accept(h, nil) },
				"recv":     func(op *Op) { *op = Recv(h, nil, 0) },
				"send":     func(op *Op) { *op = Send(h, nil, 0) },
				"recvmsg":  func(op *Op) { *op = RecvMsg(h, nil, nil, nil, 0) },
				"sendmsg":  func(op *Op) { *op = SendMsg(h, nil, nil, nil, 0) },
				"shutdown": func(op *Op) { *op = Shutdown(h, ShutdownBoth) },
			} {
				fails(t, m, name, want, set)
			}
			_, err := LocalAddress(h)
			checkTyped(t, "getsockname", 0, err, want)
			_, err = RemoteAddress(h)
			checkTyped(t, "getpeername", 0, err, want)
			_, err = SocketOption(h, syscall.SOL_SOCKET, soType)
			checkTyped(t, "getsockopt", 0, err, want)
			checkTyped(t, "setsockopt", 0, SetSocketOption(h, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1), want)
		}
		fails(t, m, "bind to nothing", errBadAddress, func(op *Op) { *op = Bind(newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM), SocketAddress{}) })
		fails(t, m, "connect to nothing", errBadAddress, func(op *Op) { *op = Connect(newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM), SocketAddress{}) })
		path := filepath.Join(t.TempDir(), strings.Repeat("d", 20))
		if none, err := UnixAddress(path); err == nil && hasUnixSockets {
			fails(t, m, "connect", errNoUnixSocket, func(op *Op) { *op = Connect(newSocket(t, m, syscall.AF_UNIX, syscall.SOCK_STREAM), none) })
		}
	})
}

// TestSocket_ErrorsOfUnix: what went wrong has one name on all systems.
func TestSocket_ErrorsOfUnix(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		l, at := listener(t, m, 1)
		client, server := connection(t, m)
		alone := newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM)
		fails(t, m, "bind", syscall.EADDRINUSE, func(op *Op) { *op = Bind(alone, at) })
		fails(t, m, "recv", syscall.ENOTCONN, func(op *Op) { *op = Recv(alone, make([]byte, 8), 0) })
		fails(t, m, "recv", syscall.EAGAIN, func(op *Op) { *op = Recv(server, make([]byte, 8), DontWait) })
		fails(t, m, "socket", syscall.EAFNOSUPPORT, func(op *Op) { *op = Socket(9999, syscall.SOCK_STREAM, 0) })
		do(t, m, closing(l))
		fails(t, m, "connect", syscall.ECONNREFUSED, func(op *Op) { *op = Connect(alone, at) })
		do(t, m, ptr(func(op *Op) { *op = Shutdown(client, ShutdownWrite) }))
		fails(t, m, "send", syscall.EPIPE, func(op *Op) { *op = Send(client, []byte("x"), noSignal) })
		if _, err := m.Do(t.Context(), ptr(func(op *Op) { *op = Recv(server, make([]byte, 8), 0) })); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestSocket_ManagerCloses: what waits on sockets is cancelled by Close, which returns.
func TestSocket_ManagerCloses(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		l, _ := listener(t, m, 1)
		client, server := connection(t, m)
		var chs []<-chan result
		for range 50 {
			chs = append(chs, start(t, m, ptr(func(op *Op) { *op = Accept(l, nil) })),
				start(t, m, ptr(func(op *Op) { *op = Recv(server, make([]byte, 8), 0) })),
				start(t, m, ptr(func(op *Op) { *op = Send(client, make([]byte, 1<<20), 0) })))
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for _, ch := range chs {
			if got := <-ch; got.n == 0 && !errors.Is(got.err, ErrManagerClosed) {
				t.Errorf("%+v", got)
			}
		}
	})
}

// TestSocket_NoAllocations: a connection that sends and receives again and again needs no memory for it.
func TestSocket_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		client, server := connection(t, m)
		buf := make([]byte, 64)
		in := Recv(server, make([]byte, 64), 0)
		for name, out := range map[string]struct {
			set  func(op *Op)
			runs int // few where the peer delays its acknowledgement
		}{
			"send":                {func(op *Op) { *op = Send(client, buf, 0) }, 200},
			"send, zero copy":     {func(op *Op) { *op = SendZeroCopy(client, buf, 0) }, 10},
			"messages, zero copy": {func(op *Op) { *op = SendMsgZeroCopy(client, [][]byte{buf}, nil, nil, 0) }, 10},
		} {
			op := ptr(out.set)
			if n := testing.AllocsPerRun(out.runs, func() {
				if _, err := m.Do(context.Background(), op); err != nil {
					t.Fatal(err)
				}
				if _, err := m.Do(context.Background(), &in); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
