package iocp

import (
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// carry carries r out.
func carry(t testing.TB, d *Driver, r *driver.Request) {
	t.Helper()
	if d.Submit(r) {
		return
	}
	await(t, d, r)
}

// await waits for r, and for nothing else.
func await(t testing.TB, d *Driver, r *driver.Request) {
	t.Helper()
	var batch [8]*driver.Request
	for {
		n, err := d.Wait(batch[:], -1)
		if err != nil || n > 1 || n == 1 && batch[0] != r {
			t.Fatalf("%d requests, %v", n, err)
		}
		if n == 1 {
			return
		}
	}
}

func must(t testing.TB, d *Driver, r *driver.Request) driver.Handle {
	t.Helper()
	if carry(t, d, r); r.Err != nil {
		t.Fatalf("%v: %v", r.Kind, r.Err)
	}
	return driver.Handle(r.N)
}

func tcpSocket(t testing.TB, d *Driver) driver.Handle {
	t.Helper()
	h := must(t, d, &driver.Request{Kind: driver.Socket, Arg: windows.AF_INET, Arg2: windows.SOCK_STREAM})
	t.Cleanup(func() { windows.Closesocket(windows.Handle(h)) })
	return h
}

// tcpListener makes one on the loopback, and returns where.
func tcpListener(t testing.TB, d *Driver) (driver.Handle, driver.Address) {
	t.Helper()
	var at driver.Address
	at.SetIP(netip.MustParseAddrPort("127.0.0.1:0"))
	l := tcpSocket(t, d)
	must(t, d, &driver.Request{Kind: driver.Bind, FD: l, Ext: &driver.Ext{Address: &at}})
	must(t, d, &driver.Request{Kind: driver.Listen, FD: l, Arg: 16})
	name, err := windows.Getsockname(windows.Handle(l))
	if err != nil {
		t.Fatal(err)
	}
	at.SetIP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*windows.SockaddrInet4).Port)))
	return l, at
}

// tcpPair makes the two ends of a connection.
func tcpPair(t testing.TB, d *Driver) (client, server driver.Handle) {
	t.Helper()
	l, at := tcpListener(t, d)
	client = tcpSocket(t, d)
	must(t, d, &driver.Request{Kind: driver.Connect, FD: client, Ext: &driver.Ext{Address: &at}})
	server = must(t, d, &driver.Request{Kind: driver.Accept, FD: l})
	t.Cleanup(func() { windows.Closesocket(windows.Handle(server)) })
	return client, server
}

// nextHandle is the number of a handle made now: the system gives the lowest that is free, more or less.
func nextHandle(t *testing.T) windows.Handle {
	t.Helper()
	h, err := windows.CreateEvent(nil, 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	windows.CloseHandle(h)
	return h
}

// TestAcceptsLeaveNoSockets: the socket that each accept makes beforehand is closed if it gets no connection.
func TestAcceptsLeaveNoSockets(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		l, _ := tcpListener(t, d)
		quiet := tcpSocket(t, d) // doesn't listen
		r := &driver.Request{Kind: driver.Accept, FD: l}
		var before windows.Handle
		const rounds = 100
		for i := range rounds {
			if i == 1 { // the first has made what stays
				before = nextHandle(t)
			}
			r.Asked.Store(false)
			if d.Submit(r) {
				t.Fatalf("%d, %v", r.N, r.Err)
			}
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
			r.Asked.Store(true)
			d.Cancel(r)
			if await(t, d, r); r.Err != driver.ErrCanceled {
				t.Fatalf("%d, %v", r.N, r.Err)
			}
			bad := &driver.Request{Kind: driver.Accept, FD: quiet}
			if carry(t, d, bad); bad.Err != windows.WSAEINVAL {
				t.Fatalf("%d, %v", bad.N, bad.Err)
			}
		}
		if after := nextHandle(t); after >= before+4*rounds/2 { // numbers go up by four
			t.Errorf("handle %d, and then %d", before, after)
		}
	})
}

// TestAcceptGoesOn: who has left before he was accepted is nobody's error. It can't be brought about at will, so that the driver is told here.
func TestAcceptGoesOn(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		l, at := tcpListener(t, d)
		for _, errno := range []syscall.Errno{windows.WSAECONNRESET, windows.ERROR_NETNAME_DELETED, windows.WSAENOTCONN} {
			r := &driver.Request{Kind: driver.Accept, FD: l}
			d.lock()
			where, _ := d.target(l)
			b := d.take(r, submitting, where)
			d.unlock()
			if errno := d.call(b, 0); errno != windows.ERROR_IO_PENDING {
				t.Fatal(errno)
			}
			if err := b.cancelIO(b.h); err != nil {
				t.Fatal(err)
			}
			var n uint32
			var key uintptr
			var o *windows.Overlapped
			if err := windows.GetQueuedCompletionStatus(d.port, &n, &key, &o, windows.INFINITE); err != windows.ERROR_OPERATION_ABORTED || o != &b.ov {
				t.Fatal(err)
			}
			d.lock()
			back := d.conclude(b, errno, 0)
			d.unlock()
			if back != nil {
				t.Fatalf("%d, %v", back.N, back.Err)
			}
			client := tcpSocket(t, d)
			c := &driver.Request{Kind: driver.Connect, FD: client, Ext: &driver.Ext{Address: &at}}
			d.Submit(c)
			var batch [8]*driver.Request
			for left := 2; left > 0; {
				n, err := d.Wait(batch[:], -1)
				if err != nil {
					t.Fatal(err)
				}
				left -= n
			}
			if c.Err != nil || r.Err != nil {
				t.Fatalf("%v, %v", c.Err, r.Err)
			}
			windows.Closesocket(windows.Handle(r.N))
		}
	})
}

// TestSocketsKnowTheirProtocol: an accepted socket is of its listener's kind, is attached, and knows whose it is.
func TestSocketsKnowTheirProtocol(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		for _, h := range func() []driver.Handle { client, server := tcpPair(t, d); return []driver.Handle{client, server} }() {
			k := d.handles.of(windows.Handle(h))
			if p := (protocol{windows.AF_INET, windows.SOCK_STREAM, windows.IPPROTO_TCP, 0}); k == nil || !k.attached || k.socket == 0 || k.protocol.provider == 0 {
				t.Errorf("%+v", k)
			} else if p.provider = k.protocol.provider; p != k.protocol {
				t.Errorf("%+v", k.protocol)
			}
			if name, err := windows.Getpeername(windows.Handle(h)); err != nil { // which on Windows needs the context to be updated
				t.Errorf("%v, %v", name, err)
			}
			must(t, d, &driver.Request{Kind: driver.Shutdown, FD: h, Arg: windows.SHUT_WR}) // so does this
			must(t, d, &driver.Request{Kind: driver.Close, FD: h})
			if d.handles.of(windows.Handle(h)) != nil {
				t.Error("a closed socket is known")
			}
		}
	})
}

// TestUnattachedIsUnknown: of a socket that was accepted for others nothing is known, though there was a handle of its number.
func TestUnattachedIsUnknown(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		l, at := tcpListener(t, d)
		client := tcpSocket(t, d)
		must(t, d, &driver.Request{Kind: driver.Connect, FD: client, Ext: &driver.Ext{Address: &at}})
		const numbers = 1 << 14 // more than are in use
		for h := windows.Handle(4); h < numbers; h += 4 {
			if d.handles.of(h) == nil {
				d.handles.set(h, &traits{known: true, attached: true})
			}
		}
		h := windows.Handle(must(t, d, &driver.Request{Kind: driver.Accept, Flags: driver.Unattached, FD: l}))
		defer windows.Closesocket(h)
		if k := d.handles.of(h); k != nil || h >= numbers {
			t.Errorf("%d: %+v", h, k)
		}
	})
}

// TestMessagesDoNotAllocate: in the steady state, in both modes.
func TestMessagesDoNotAllocate(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		client, server := tcpPair(t, d)
		var any, at driver.Address
		any.SetIP(netip.MustParseAddrPort("127.0.0.1:0"))
		udp := must(t, d, &driver.Request{Kind: driver.Socket, Arg: windows.AF_INET, Arg2: windows.SOCK_DGRAM})
		defer windows.Closesocket(windows.Handle(udp))
		must(t, d, &driver.Request{Kind: driver.Bind, FD: udp, Ext: &driver.Ext{Address: &any}})
		name, err := windows.Getsockname(windows.Handle(udp))
		if err != nil {
			t.Fatal(err)
		}
		at.SetIP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*windows.SockaddrInet4).Port)))
		if err := windows.SetsockoptInt(windows.Handle(udp), windows.IPPROTO_IP, 19, 1); err != nil { // IP_PKTINFO
			t.Fatal(err)
		}
		halves := [][]byte{make([]byte, 30), make([]byte, 34)}
		bufs := driver.NewBuffers(2, 64)
		if err := d.AddBuffers(bufs); err != nil {
			t.Fatal(err)
		}
		message := func(to *driver.Address, control int) *driver.Ext {
			return &driver.Ext{Vec: halves, Message: &driver.Message{Address: to, Control: make([]byte, control)}}
		}
		for name, c := range map[string]struct{ out, in *driver.Request }{
			"Send, Recv":       {&driver.Request{Kind: driver.Send, FD: client, Buf: make([]byte, 64)}, &driver.Request{Kind: driver.Recv, FD: server, Buf: make([]byte, 64)}},
			"SendMsg, RecvMsg": {&driver.Request{Kind: driver.SendMsg, FD: client, Ext: message(nil, 0)}, &driver.Request{Kind: driver.RecvMsg, FD: server, Ext: message(nil, 0)}},
			"buffers":          {&driver.Request{Kind: driver.Send, FD: client, Buf: make([]byte, 64)}, &driver.Request{Kind: driver.Recv, FD: server, Ext: &driver.Ext{Buffers: bufs}}},
			"datagrams":        {&driver.Request{Kind: driver.SendMsg, FD: udp, Ext: message(&at, 0)}, &driver.Request{Kind: driver.RecvMsg, FD: udp, Ext: message(new(driver.Address), 0)}},
			"control messages": {&driver.Request{Kind: driver.SendMsg, FD: udp, Ext: message(&at, 0)}, &driver.Request{Kind: driver.RecvMsg, FD: udp, Ext: message(new(driver.Address), 64)}},
		} {
			for _, waits := range []bool{false, true} {
				first, second := c.out, c.in
				if waits {
					first, second = c.in, c.out
				}
				var batch [8]*driver.Request
				n := testing.AllocsPerRun(100, func() {
					left := 2
					if d.Submit(first) {
						left--
					}
					d.Flush()
					if d.Submit(second) {
						left--
					}
					for left > 0 {
						n, err := d.Wait(batch[:], -1)
						if err != nil {
							t.Fatal(err)
						}
						left -= n
					}
					if c.in.Ext != nil && c.in.Ext.Buffers != nil {
						d.GiveBack(bufs, c.in.Ext.Shots.Taken)
						c.in.Ext.Shots.Taken = 0
					}
				})
				if n != 0 || c.out.N != 64 || c.in.N != 64 || c.out.Err != nil || c.in.Err != nil {
					t.Errorf("%s, waits: %v: %v allocations; %d, %v; %d, %v", name, waits, n, c.out.N, c.out.Err, c.in.N, c.in.Err)
				}
			}
		}
	})
}

// TestUnixSocketsOnlyOnWindows: streams, by a path. Where there are none, that is what the error says.
func TestUnixSocketsOnlyOnWindows(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		open := &driver.Request{Kind: driver.Socket, Arg: windows.AF_UNIX, Arg2: windows.SOCK_STREAM}
		if win32.UnderWine() {
			if carry(t, d, open); open.Err != windows.WSAEAFNOSUPPORT {
				t.Errorf("%d, %v", open.N, open.Err)
			}
			return
		}
		dir, err := os.MkdirTemp("", "rp")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		var at driver.Address
		if !at.SetPath(filepath.Join(dir, "s")) {
			t.Fatal("too long")
		}
		l, client := must(t, d, open), must(t, d, open)
		defer windows.Closesocket(windows.Handle(l))
		defer windows.Closesocket(windows.Handle(client))
		must(t, d, &driver.Request{Kind: driver.Bind, FD: l, Ext: &driver.Ext{Address: &at}})
		must(t, d, &driver.Request{Kind: driver.Listen, FD: l, Arg: 4})
		must(t, d, &driver.Request{Kind: driver.Connect, FD: client, Ext: &driver.Ext{Address: &at}})
		server := must(t, d, &driver.Request{Kind: driver.Accept, FD: l})
		defer windows.Closesocket(windows.Handle(server))
		must(t, d, &driver.Request{Kind: driver.Send, FD: client, Buf: []byte("data")})
		in := &driver.Request{Kind: driver.Recv, FD: server, Buf: make([]byte, 8)}
		if must(t, d, in); in.N != 4 {
			t.Errorf("%d", in.N)
		}
	})
	if win32.UnderWine() {
		t.Skip("only Windows can show this; Wine has no Unix sockets")
	}
}

// TestWaitingTakesNoBuffer: of many receives that wait for something, none has a buffer; of those that got something each has one, and none of those
// that got the end.
func TestWaitingTakesNoBuffer(t *testing.T) {
	inBothModes(t, func(t *testing.T, d *Driver) {
		bufs := driver.NewBuffers(1, 8)
		if err := d.AddBuffers(bufs); err != nil {
			t.Fatal(err)
		}
		var clients []driver.Handle
		var ins []*driver.Request
		for range 5 {
			client, server := tcpPair(t, d)
			in := &driver.Request{Kind: driver.Recv, FD: server, Ext: &driver.Ext{Buffers: bufs}}
			clients, ins = append(clients, client), append(ins, in)
			if d.Submit(in) {
				t.Fatalf("%d, %v", in.N, in.Err)
			}
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if picked := bufs.Pick(); picked != 1 {
			t.Errorf("the first free buffer is %d", picked)
		}
		bufs.Free(1)
		for i, in := range ins {
			var batch [8]*driver.Request
			out := &driver.Request{Kind: driver.Send, FD: clients[i], Buf: []byte{byte(i)}}
			left := 2
			if d.Submit(out) {
				left--
			}
			for left > 0 {
				n, err := d.Wait(batch[:], -1)
				if err != nil {
					t.Fatal(err)
				}
				left -= n
			}
			if in.N != 1 || in.Err != nil || in.Ext.Shots.Taken != i+1 || bufs.Bytes(i + 1)[0] != byte(i) {
				t.Errorf("%d, %v, buffer %d", in.N, in.Err, in.Ext.Shots.Taken)
			}
		}
		for i, in := range ins {
			must(t, d, &driver.Request{Kind: driver.Shutdown, FD: clients[i], Arg: windows.SHUT_WR})
			in.Ext.Shots.Taken = 0
			if must(t, d, in); in.N != 0 || in.Ext.Shots.Taken != 0 {
				t.Errorf("%d, buffer %d", in.N, in.Ext.Shots.Taken)
			}
		}
		if picked := bufs.Pick(); picked != len(ins)+1 {
			t.Errorf("the first free buffer is %d", picked)
		}
	})
}
