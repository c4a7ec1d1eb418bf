package drivertest

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ringport/ringport/internal/driver"
)

var socketTests = []test{
	{name: "SocketsTalk", run: socketsTalk},
	{name: "Law3CancelAccept", run: cancelAccept},
	{name: "Law3CancelConnect", run: cancelConnect},
	{name: "Law3CancelSend", run: cancelSend},
	{name: "Law3CancelRecv", run: cancelRecv},
	{name: "RecvThatExpectsToWait", run: expectingRecv},
	{name: "SendsAreWhole", run: wholeSends},
	{name: "RecvOfAll", run: recvAll},
	{name: "Law3CancelRecvOfAll", run: cancelRecvAll},
	{name: "ShutdownEndsReceives", run: shutdownEndsReceives},
	{name: "SocketResetIsAnError", run: socketReset},
	{name: "Datagrams", run: datagrams},
	{name: "DatagramsNobodyWants", run: datagramsNobodyWants},
	{name: "ControlMessages", run: controlMessages},
	{name: "Law8BadSockets", run: badSockets},
	{name: "SocketsWithoutWaiting", run: socketsWithoutWaiting},
}

// Where sockets of a stream are bound, and how.
func streamAddresses(f *fixture) map[string]driver.Address {
	all := map[string]driver.Address{}
	for name, text := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		all[name] = ipAddress(text)
	}
	if hasUnixSockets {
		all["unix"] = unixAddress(f, "socket")
	}
	return all
}

// unixAddress is that of a Unix socket in a folder whose name is short enough.
func unixAddress(f *fixture, name string) (a driver.Address) {
	f.Helper()
	dir, err := os.MkdirTemp("", "rp")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	if path := filepath.Join(dir, name); !a.SetPath(path) {
		f.Fatalf("%s is too long", path)
	}
	return a
}

func ipAddress(text string) (a driver.Address) {
	if !a.SetIP(netip.MustParseAddrPort(text)) {
		panic(text)
	}
	return a
}

// socket makes one for the driver, by the driver.
func (f *fixture) socket(family, kind int) driver.Handle {
	f.Helper()
	r := &driver.Request{Kind: driver.Socket, Arg: uint32(family), Arg2: uint32(kind)}
	n, err := f.do(r)
	if err != nil {
		f.Fatalf("socket(%d, %d): %v", family, kind, err)
	}
	return f.keep(driver.Handle(n))
}

// listen makes a listener, and returns where it can be reached.
func (f *fixture) listen(at driver.Address, backlog uint32) (driver.Handle, driver.Address) {
	f.Helper()
	l := f.socket(at.Family(), syscall.SOCK_STREAM)
	f.must(&driver.Request{Kind: driver.Bind, FD: l, Ext: &driver.Ext{Address: &at}}, 0)
	f.must(&driver.Request{Kind: driver.Listen, FD: l, Arg: backlog}, 0)
	return l, localAddress(f, l)
}

func connect(h driver.Handle, to driver.Address) *driver.Request {
	return &driver.Request{Kind: driver.Connect, FD: h, Ext: &driver.Ext{Address: &to}}
}

// accepted waits for an accept and returns the connection.
func (f *fixture) accepted(r *driver.Request) driver.Handle {
	f.Helper()
	if f.await(r); r.Err != nil {
		f.Fatalf("accept: %v", r.Err)
	}
	return f.keep(driver.Handle(r.N))
}

// connection makes the two ends of a connection.
func (f *fixture) connection(at driver.Address) (client, server driver.Handle) {
	f.Helper()
	l, to := f.listen(at, 16)
	accept := &driver.Request{Kind: driver.Accept, FD: l}
	f.start(accept)
	client = f.socket(at.Family(), syscall.SOCK_STREAM)
	f.must(connect(client, to), 0)
	server = f.accepted(accept)
	f.closeHandle(l)
	return client, server
}

func recv(h driver.Handle, bytes int) *driver.Request {
	return &driver.Request{Kind: driver.Recv, FD: h, Buf: make([]byte, bytes)}
}

func send(h driver.Handle, content string) *driver.Request {
	return &driver.Request{Kind: driver.Send, FD: h, Buf: []byte(content)}
}

// message is a RecvMsg or SendMsg of buffers of these sizes.
func message(k driver.Kind, h driver.Handle, of driver.Message, sizes ...int) *driver.Request {
	r := &driver.Request{Kind: k, FD: h, Ext: &driver.Ext{Vec: [][]byte{}, Message: &of}}
	for _, n := range sizes {
		r.Ext.Vec = append(r.Ext.Vec, make([]byte, n))
	}
	return r
}

// socketsTalk: connected, they know each other, move bytes both ways, one at a time too, and end each direction by itself.
func socketsTalk(f *fixture) {
	for name, at := range streamAddresses(f) {
		l, to := f.listen(at, 16)
		var peer driver.Address
		accept := &driver.Request{Kind: driver.Accept, FD: l, Ext: &driver.Ext{Address: &peer}}
		f.start(accept)
		f.stay(accept)
		client := f.socket(at.Family(), syscall.SOCK_STREAM)
		f.must(connect(client, to), 0)
		server := f.accepted(accept)
		if want := localAddress(f, client); peer.Family() != want.Family() || name != "unix" && peer != want {
			f.Errorf("%s: accepted %v from %v", name, peer, want)
		}
		r := recv(server, 64)
		f.start(r)
		f.stay(r)
		f.must(send(client, "hello"), 5)
		if f.await(r); got(r) != "hello" || r.Err != nil {
			f.Errorf("%s: %q, %v", name, got(r), r.Err)
		}
		out := message(driver.SendMsg, server, driver.Message{}, 2, 0, 3)
		copy(out.Ext.Vec[0], "ab")
		copy(out.Ext.Vec[2], "cde")
		f.must(out, 5)
		in := message(driver.RecvMsg, client, driver.Message{}, 1, 8)
		if f.must(in, 5); string(in.Ext.Vec[0])+string(in.Ext.Vec[1][:4]) != "abcde" {
			f.Errorf("%s: %q", name, in.Ext.Vec)
		}
		f.must(send(client, ""), 0)
		f.must(&driver.Request{Kind: driver.Shutdown, FD: client, Arg: syscall.SHUT_WR}, 0)
		f.must(recv(server, 8), 0) // the end, as often as one asks
		f.must(recv(server, 8), 0)
		f.must(send(server, "still"), 5)
		f.must(recv(client, 64), 5)
		f.closeHandle(server)
		f.must(recv(client, 8), 0)
	}
}

// cancelAccept: a cancelled accept has a connection or has left it to the next.
func cancelAccept(f *fixture) {
	for name, at := range streamAddresses(f) {
		l, to := f.listen(at, 128)
		r := &driver.Request{Kind: driver.Accept, FD: l}
		f.start(r)
		f.stay(r)
		f.cancel(r)
		f.canceled(r)
		for round := range 100 {
			again(r)
			f.start(r)
			client := f.socket(at.Family(), syscall.SOCK_STREAM)
			c := connect(client, to)
			f.start(c)
			f.cancel(r)
			f.await(c, r)
			if c.Err != nil {
				f.Fatalf("%s: connect: %v", name, c.Err)
			}
			if r.Err != nil {
				if r.Err != driver.ErrCanceled {
					f.Fatalf("%s: accept: %v", name, r.Err)
				}
				again(r)
				f.start(r)
			}
			server := f.accepted(r)
			f.must(send(client, "x"), 1)
			f.must(recv(server, 1), 1)
			f.closeHandle(client)
			f.closeHandle(server)
			if round == 0 {
				f.stay()
			}
		}
		f.closeHandle(l)
	}
}

// cancelConnect: to a listener whose queue is full, as to a host that does not answer.
func cancelConnect(f *fixture) {
	_, to := f.listen(ipAddress("127.0.0.1:0"), 0)
	var waiting []*driver.Request
	for len(waiting) < 4 {
		if len(waiting) == 0 && len(f.handles) > 64 {
			f.Fatal("a queue without an end")
		}
		c := connect(f.socket(syscall.AF_INET, syscall.SOCK_STREAM), to)
		f.start(c)
		f.flush()
		for range 3 {
			f.must(&driver.Request{Kind: driver.Nop}, 0)
		}
		if !f.isBack(c) {
			waiting = append(waiting, c)
		} else if c.Err != nil {
			f.Fatal(c.Err)
		}
	}
	f.stay(waiting[3])
	for _, c := range waiting {
		f.cancel(c)
	}
	f.await(waiting...)
	for i, c := range waiting[1:] { // the first may have found a place
		if c.Err != driver.ErrCanceled {
			f.Errorf("%d: %v", i+1, c.Err)
		}
	}
}

// cancelSend: what a cancelled send reports is what the peer gets, to the byte.
func cancelSend(f *fixture) {
	for name, at := range streamAddresses(f) {
		client, server := f.connection(at)
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
		for _, k := range []driver.Kind{driver.Send, driver.SendMsg} {
			r := &driver.Request{Kind: k, FD: client, Buf: content}
			if k == driver.SendMsg {
				r.Buf, r.Ext = nil, &driver.Ext{Vec: [][]byte{content[:5], content[5:]}}
			}
			f.start(r)
			f.stay(r)
			f.cancel(r)
			if f.await(r); r.Err != nil && r.Err != driver.ErrCanceled {
				f.Fatalf("%s: %v", name, r.Err)
			}
			sent := r.N
			if sent == 0 && k == driver.Send {
				f.Errorf("%s: nothing was sent to an empty socket", name)
			}
			mark := send(client, "!") // may have to wait for room
			f.start(mark)
			var all []byte
			for !bytes.HasSuffix(all, []byte("!")) {
				in := recv(server, 1<<20)
				if n, err := f.do(in); n == 0 || err != nil {
					f.Fatalf("%s: %d, %v after %d bytes", name, n, err, len(all))
				}
				all = append(all, got(in)...)
			}
			f.await(mark)
			if got := all[:len(all)-1]; !bytes.Equal(got, content[:sent]) {
				f.Errorf("%s, %v: %d bytes arrived, %d were reported", name, k, len(got), sent)
			}
		}
	}
}

// expectingRecv: who expects that a receive has to wait (Waits) may be wrong: the result is the same.
func expectingRecv(f *fixture) {
	expecting := func(h driver.Handle) *driver.Request {
		r := recv(h, 8)
		r.Flags = driver.Waits
		return r
	}
	for _, at := range streamAddresses(f) {
		client, server := f.connection(at)
		for _, nonblocking := range []bool{false, true} {
			setNonblock(f, server, nonblocking)
			f.must(send(client, "there"), 5)
			f.must(expecting(server), 5)
			in := expecting(server)
			f.start(in)
			f.must(send(client, "later"), 5)
			if f.await(in); in.N != 5 || in.Err != nil || string(in.Buf[:5]) != "later" {
				f.Fatalf("%q, %v", in.Buf[:in.N], in.Err)
			}
			in = expecting(server)
			f.start(in)
			f.cancel(in)
			if f.await(in); in.N != 0 || in.Err != driver.ErrCanceled {
				f.Fatalf("a cancel: %d, %v", in.N, in.Err)
			}
		}
		f.must(&driver.Request{Kind: driver.Shutdown, FD: client, Arg: syscall.SHUT_WR}, 0)
		f.must(expecting(server), 0)
	}
}

func cancelRecv(f *fixture) {
	for name, at := range streamAddresses(f) {
		client, server := f.connection(at)
		sent, received := 0, 0
		for range 200 {
			in := recv(server, 8)
			f.start(in)
			out := send(client, "x")
			f.start(out)
			f.cancel(in)
			f.await(in, out)
			if sent += out.N; out.Err != nil || in.Err != nil && in.Err != driver.ErrCanceled {
				f.Fatalf("%s: %v, %v", name, out.Err, in.Err)
			}
			received += in.N
		}
		f.must(&driver.Request{Kind: driver.Shutdown, FD: client, Arg: syscall.SHUT_WR}, 0)
		for {
			n, err := f.do(recv(server, 64))
			if err != nil {
				f.Fatal(err)
			}
			if received += n; n == 0 {
				break
			}
		}
		if sent != received {
			f.Errorf("%s: %d bytes sent, %d received", name, sent, received)
		}
	}
}

// wholeSends: a send is over when all of it has left, however often it has to wait for room.
func wholeSends(f *fixture) {
	for name, at := range streamAddresses(f) {
		client, server := f.connection(at)
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
		half := message(driver.SendMsg, client, driver.Message{})
		half.Ext.Vec = [][]byte{content[:len(content)/3], content[len(content)/3:]}
		for _, out := range []*driver.Request{{Kind: driver.Send, FD: client, Buf: content}, half} {
			f.start(out)
			var all []byte
			for len(all) < len(content) {
				in := recv(server, 1<<16)
				if n, err := f.do(in); n == 0 || err != nil {
					f.Fatalf("%s: %d, %v after %d bytes", name, n, err, len(all))
				}
				all = append(all, got(in)...)
			}
			if f.await(out); out.N != len(content) || out.Err != nil || !bytes.Equal(all, content) {
				f.Errorf("%s: %d, %v", name, out.N, out.Err)
			}
		}
	}
}

func recvAll(f *fixture) {
	client, server := f.connection(ipAddress("127.0.0.1:0"))
	in := recv(server, 10)
	in.Arg = msgWaitAll
	f.start(in)
	for _, part := range []string{"012", "345", "67"} {
		f.must(send(client, part), len(part))
		f.stay(in)
	}
	f.must(send(client, "89+"), 3)
	if f.await(in); got(in) != "0123456789" || in.Err != nil {
		f.Errorf("%q, %v", got(in), in.Err)
	}
	again(in) // the end comes before all
	f.start(in)
	f.must(&driver.Request{Kind: driver.Shutdown, FD: client, Arg: syscall.SHUT_WR}, 0)
	if f.await(in); got(in) != "+" || in.Err != nil {
		f.Errorf("%q, %v", got(in), in.Err)
	}
}

// cancelRecvAll: what has come so far is the result, or else left to the next.
func cancelRecvAll(f *fixture) {
	client, server := f.connection(ipAddress("127.0.0.1:0"))
	in := recv(server, 10)
	in.Arg = msgWaitAll
	f.start(in)
	f.must(send(client, "012"), 3)
	f.stay(in)
	f.cancel(in)
	if f.await(in); in.Err == driver.ErrCanceled {
		in = recv(server, 10)
		f.must(in, 3)
	}
	if got(in) != "012" || in.Err != nil {
		f.Errorf("%q, %v", got(in), in.Err)
	}
}

// shutdownEndsReceives: who ends the receiving ends what waits, and all that comes later has the end at once. The other direction goes on.
func shutdownEndsReceives(f *fixture) {
	for name, at := range streamAddresses(f) {
		client, server := f.connection(at)
		waiting := []*driver.Request{recv(server, 8), message(driver.RecvMsg, server, driver.Message{}, 8), read(server, 8, driver.CurrentOffset)}
		for _, r := range waiting {
			f.start(r)
		}
		f.stay(waiting...)
		f.must(&driver.Request{Kind: driver.Shutdown, FD: server, Arg: syscall.SHUT_RD}, 0)
		f.await(waiting...)
		for _, r := range waiting {
			if r.N != 0 || r.Err != nil {
				f.Errorf("%s: %v: %d, %v", name, r.Kind, r.N, r.Err)
			}
			f.must(r, 0)
		}
		f.must(send(server, "still"), 5)
		f.must(recv(client, 8), 5)
	}
}

// socketReset: an end that was not said properly is no end of file.
func socketReset(f *fixture) {
	client, server := f.connection(ipAddress("127.0.0.1:0"))
	in := recv(server, 8)
	f.start(in)
	f.stay(in)
	lingerZero(f, client)
	f.closeHandle(client)
	if f.await(in); in.Err != errReset || in.N != 0 {
		f.Errorf("%d, %v", in.N, in.Err)
	}
}

// datagrams: with the sender's address, cut if they are too long, empty ones too.
func datagrams(f *fixture) {
	for _, text := range []string{"127.0.0.1:0", "[::1]:0"} {
		at := ipAddress(text)
		a, b := f.socket(at.Family(), syscall.SOCK_DGRAM), f.socket(at.Family(), syscall.SOCK_DGRAM)
		for _, h := range []driver.Handle{a, b} {
			f.must(&driver.Request{Kind: driver.Bind, FD: h, Ext: &driver.Ext{Address: &at}}, 0)
		}
		from, to := localAddress(f, a), localAddress(f, b)
		for _, content := range []string{"datagram", "", "longer than the buffer", "x"} {
			in := message(driver.RecvMsg, b, driver.Message{Address: new(driver.Address)}, 3, 5)
			f.start(in)
			f.stay(in)
			out := message(driver.SendMsg, a, driver.Message{Address: &to})
			out.Ext.Vec = [][]byte{[]byte(content)}
			f.must(out, len(content))
			want, flags := content, uint32(0)
			if len(want) > 8 {
				want, flags = want[:8], msgTrunc
			}
			f.await(in)
			if all := string(in.Ext.Vec[0]) + string(in.Ext.Vec[1]); in.N != len(want) || in.Err != nil || all[:in.N] != want {
				f.Errorf("%q: %q, %d, %v", content, all, in.N, in.Err)
			}
			if m := in.Ext.Message; *m.Address != from || m.Flags&msgTrunc != flags {
				f.Errorf("%q: from %v, want %v; flags %#x", content, *m.Address, from, m.Flags)
			}
		}
		f.must(connect(a, to), 0)
		f.must(send(a, "connected"), 9)
		f.must(recv(b, 64), 9)
		f.must(message(driver.SendMsg, a, driver.Message{Address: new(driver.Address)}, 5), 5) // none: where it is connected to
		f.must(recv(b, 64), 5)
	}
}

// datagramsNobodyWants: that one was sent where nobody listens is no error of a receive, which is for what others send.
func datagramsNobodyWants(f *fixture) {
	at := ipAddress("127.0.0.1:0")
	a, b := f.socket(syscall.AF_INET, syscall.SOCK_DGRAM), f.socket(syscall.AF_INET, syscall.SOCK_DGRAM)
	for _, h := range []driver.Handle{a, b} {
		f.must(&driver.Request{Kind: driver.Bind, FD: h, Ext: &driver.Ext{Address: &at}}, 0)
	}
	here, nobody := localAddress(f, a), localAddress(f, b)
	f.closeHandle(b)
	in := message(driver.RecvMsg, a, driver.Message{Address: new(driver.Address)}, 8)
	f.start(in)
	for range 3 {
		f.must(message(driver.SendMsg, a, driver.Message{Address: &nobody}, 4), 4)
	}
	f.stay(in)
	f.must(message(driver.SendMsg, a, driver.Message{Address: &here}, 5), 5)
	if f.await(in); in.N != 5 || in.Err != nil || *in.Ext.Message.Address != here {
		f.Errorf("%d, %v, from %v", in.N, in.Err, *in.Ext.Message.Address)
	}
}

func badSockets(f *fixture) {
	at := ipAddress("127.0.0.1:0")
	l, to := f.listen(at, 1)
	s := f.socket(syscall.AF_INET, syscall.SOCK_STREAM)
	file := f.openFile(f.tempFile("content"), syscall.O_RDWR)
	bind := func(h driver.Handle, a driver.Address) *driver.Request {
		return &driver.Request{Kind: driver.Bind, FD: h, Ext: &driver.Ext{Address: &a}}
	}
	for _, c := range []struct {
		r    *driver.Request
		want error
	}{
		{&driver.Request{Kind: driver.Socket, Arg: 9999, Arg2: syscall.SOCK_STREAM}, errNoFamily},
		{&driver.Request{Kind: driver.Socket, Arg: syscall.AF_INET, Arg2: syscall.SOCK_STREAM, Len: 1 << 40}, errInvalid},
		{bind(l, at), errInvalid}, // it is bound already
		{bind(s, to), errInUse},
		{bind(badHandle, at), errBadSocket},
		{bind(file, at), errNotSocket},
		{&driver.Request{Kind: driver.Listen, FD: badHandle}, errBadSocket},
		{&driver.Request{Kind: driver.Listen, FD: file}, errNotSocket},
		{&driver.Request{Kind: driver.Accept, FD: badHandle}, errBadSocket},
		{&driver.Request{Kind: driver.Accept, FD: file}, errNotSocket},
		{&driver.Request{Kind: driver.Accept, FD: s}, errInvalid}, // it does not listen
		{connect(badHandle, to), errBadSocket},
		{connect(file, to), errNotSocket},
		{recv(badHandle, 8), errBadSocket},
		{recv(file, 8), errNotSocket},
		{recv(s, 8), errNotConnected},
		{send(badHandle, "x"), errBadSocket},
		{send(file, "x"), errNotSocket},
		{message(driver.RecvMsg, badHandle, driver.Message{}, 8), errBadSocket},
		{message(driver.RecvMsg, file, driver.Message{}, 8), errNotSocket},
		{message(driver.SendMsg, file, driver.Message{}, 8), errNotSocket},
		{&driver.Request{Kind: driver.Shutdown, FD: badHandle, Arg: syscall.SHUT_WR}, errBadSocket},
		{&driver.Request{Kind: driver.Shutdown, FD: file, Arg: syscall.SHUT_WR}, errNotSocket},
		{&driver.Request{Kind: driver.Shutdown, FD: s, Arg: syscall.SHUT_WR}, errNotConnected},
		{&driver.Request{Kind: driver.Shutdown, FD: s, Arg: 77}, errInvalid},
	} {
		f.fails(c.r, c.want)
	}
	deaf := f.socket(syscall.AF_INET, syscall.SOCK_STREAM) // keeps its port from others, and does not listen
	f.must(bind(deaf, at), 0)
	f.fails(connect(s, localAddress(f, deaf)), errRefused)
	if hasUnixSockets {
		f.fails(connect(f.socket(syscall.AF_UNIX, syscall.SOCK_STREAM), unixAddress(f, "none")), errNoUnixSocket)
	}
}

// socketsWithoutWaiting: who asks not to wait is told.
func socketsWithoutWaiting(f *fixture) {
	client, server := f.connection(ipAddress("127.0.0.1:0"))
	for _, r := range []*driver.Request{recv(server, 8), message(driver.RecvMsg, server, driver.Message{}, 8)} {
		r.Arg = driver.DontWait
		f.fails(r, errWouldWait)
	}
	out := send(client, strings.Repeat("x", 1<<20))
	out.Arg = driver.DontWait
	for {
		n, err := f.do(out)
		if err != nil || n < len(out.Buf) {
			if n == 0 && err != errWouldWait {
				f.Errorf("%d, %v", n, err)
			}
			break
		}
	}
}
