package drivertest

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// Polls: of sockets, and for data in pipes.
var waitTests = []test{
	{name: "PollSocket", run: pollSocket},
	{name: "PollSocketOfAnother", run: pollForeignSocket},
	{name: "PollListener", run: pollListener},
	{name: "PollRefusedConnection", run: pollRefused},
	{name: "PollClosedSocket", run: pollClosed},
	{name: "PollPipe", run: pollPipe},
	{name: "PollSynchronousPipe", run: pollSynchronousPipe},
	{name: "PollFile", run: pollFile},
	{name: "PollUnsupported", run: pollUnsupported},
	{name: "Law1PollsOfOneSocket", run: manyPolls},
	{name: "Law3CancelPoll", run: cancelPoll},
	{name: "Law3CancelPollDeliversEvents", run: cancelPollRace},
	{name: "Law3CancelPollBeforeSubmit", run: cancelPollBefore},
	{name: "Law3CancelAllPolls", run: cancelAllPolls},
	{name: "Law8BadPolls", run: badPolls},
}

const (
	pollIn  = 0x001
	pollOut = 0x004
	pollErr = 0x008
	pollHup = 0x010

	pollRdHup = 0x2000
)

func pollOf(h driver.Handle, events uint32) *driver.Request {
	return &driver.Request{Kind: driver.Poll, FD: h, Arg: events}
}

// sockets are those that are open. A number that was closed may be another handle's, and must not be closed again.
var sockets = map[windows.Handle]bool{}

func closeSocket(s windows.Handle) error {
	delete(sockets, s)
	return windows.Closesocket(s)
}

// rawSocket makes a TCP socket, which the driver knows if attached is set.
func (f *fixture) rawSocket(attached bool) windows.Handle {
	f.Helper()
	if err := win32.StartWinsock(); err != nil {
		f.Fatal(err)
	}
	s, err := windows.WSASocket(windows.AF_INET, windows.SOCK_STREAM, windows.IPPROTO_TCP, nil, 0,
		windows.WSA_FLAG_OVERLAPPED|windows.WSA_FLAG_NO_HANDLE_INHERIT)
	if err != nil {
		f.Fatal(err)
	}
	sockets[s] = true
	f.Cleanup(func() {
		if sockets[s] {
			closeSocket(s)
		}
	})
	if attached {
		if err := f.d.Attach(driver.Handle(s)); err != nil {
			f.Fatal(err)
		}
	}
	return s
}

// rawConnection is a connected socket, and its peer.
func (f *fixture) rawConnection(attached bool) (s windows.Handle, peer *net.TCPConn) {
	f.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	s = f.rawSocket(attached)
	if err := windows.Connect(s, &windows.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		f.Fatal(err)
	}
	if peer, err = l.AcceptTCP(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { peer.Close() })
	return s, peer
}

func (f *fixture) sendRaw(to *net.TCPConn, content string) {
	f.Helper()
	if _, err := to.Write([]byte(content)); err != nil {
		f.Fatal(err)
	}
}

// pollEvents: what is ready at once, what is waited for, and what comes unasked.
func (f *fixture) pollEvents(s driver.Handle, peer *net.TCPConn) {
	f.Helper()
	f.must(pollOf(s, pollOut), pollOut)
	f.must(pollOf(s, pollIn|pollOut), pollOut)
	q := pollOf(s, pollIn)
	f.start(q)
	f.stay(q)
	f.sendRaw(peer, "data")
	if f.await(q); q.N != pollIn || q.Err != nil {
		f.Fatalf("data: %#x, %v", q.N, q.Err)
	}
	f.must(pollOf(s, pollIn), pollIn) // it is still there
	f.must(pollOf(s, pollIn|pollOut), pollIn|pollOut)
}

func pollSocket(f *fixture) {
	h, peer := f.rawConnection(true)
	s := driver.Handle(h)
	f.pollEvents(s, peer)
	q := read(s, 8, driver.CurrentOffset)
	if f.must(q, 4); got(q) != "data" {
		f.Fatalf("%q", got(q))
	}
	q = pollOf(s, pollIn)
	f.start(q)
	f.stay(q)
	peer.CloseWrite()
	if f.await(q); q.N != pollIn || q.Err != nil { // a read would not wait
		f.Errorf("the peer has shut down: %#x, %v", q.N, q.Err)
	}
	f.must(pollOf(s, pollIn|pollRdHup), pollIn|pollRdHup) // to whom it asks for it
	f.must(pollOf(s, pollRdHup), pollRdHup)
	h, peer = f.rawConnection(true)
	for _, events := range []uint32{0, pollIn} {
		q := pollOf(driver.Handle(h), events)
		f.start(q)
		f.stay(q)
		if events == 0 {
			continue
		}
		peer.SetLinger(0)
		peer.Close()
		f.await(q)
		if q.N&(pollErr|pollHup) == 0 || q.Err != nil || q.N&pollOut != 0 {
			f.Errorf("the peer has reset the connection: %#x, %v", q.N, q.Err)
		}
	}
	f.drain() // the one that asked for nothing
}

// pollForeignSocket: it needs not be attached.
func pollForeignSocket(f *fixture) {
	s, peer := f.rawConnection(false)
	f.pollEvents(driver.Handle(s), peer)
	s, _ = f.rawConnection(false)
	q := pollOf(driver.Handle(s), pollIn)
	f.start(q)
	f.stay(q)
	f.cancel(q)
	f.canceled(q)
}

func pollListener(f *fixture) {
	s := f.rawSocket(true)
	if err := windows.Bind(s, &windows.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		f.Fatal(err)
	}
	if err := windows.Listen(s, 4); err != nil {
		f.Fatal(err)
	}
	name, err := windows.Getsockname(s)
	if err != nil {
		f.Fatal(err)
	}
	q := pollOf(driver.Handle(s), pollIn)
	f.start(q)
	f.stay(q)
	c, err := net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*windows.SockaddrInet4).Port})
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	if f.await(q); q.N != pollIn || q.Err != nil {
		f.Errorf("%#x, %v", q.N, q.Err)
	}
}

// pollRefused: the connection begins without waiting, and comes to nothing.
func pollRefused(f *fixture) {
	deaf := f.rawSocket(false) // keeps its port from others, and does not listen
	if err := windows.Bind(deaf, &windows.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		f.Fatal(err)
	}
	name, err := windows.Getsockname(deaf)
	if err != nil {
		f.Fatal(err)
	}
	port := name.(*windows.SockaddrInet4).Port
	s := f.rawSocket(true)
	nonblocking, n := uint32(1), uint32(0)
	const fionbio = 0x8004667e
	if err := ioctl(s, fionbio, &nonblocking, &n); err != nil {
		f.Fatal(err)
	}
	if err := windows.Connect(s, &windows.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != windows.WSAEWOULDBLOCK {
		f.Fatal(err)
	}
	q := pollOf(driver.Handle(s), pollOut)
	if n, err := f.do(q); err != nil || n != pollOut|pollErr|pollHup {
		f.Errorf("%#x, %v", n, err)
	}
}

// pollClosed: closing the socket ends what waits for it.
func pollClosed(f *fixture) {
	for range 20 {
		s, _ := f.rawConnection(true)
		q := pollOf(driver.Handle(s), pollIn)
		f.start(q)
		f.stay(q)
		if err := closeSocket(s); err != nil {
			f.Fatal(err)
		}
		f.await(q)
		if q.N != 0 || q.Err != windows.ERROR_INVALID_HANDLE {
			f.Fatalf("%#x, %v", q.N, q.Err)
		}
	}
}

func pollPipe(f *fixture) {
	for range 50 {
		r, w := f.pipe()
		a, b := pollOf(r, pollIn), pollOf(r, pollIn)
		f.start(a)
		f.start(b)
		f.stay(a, b)
		f.put(w, "x")
		f.await(a, b)
		if a.N != pollIn || b.N != pollIn || a.Err != nil || b.Err != nil {
			f.Fatalf("%#x, %v and %#x, %v", a.N, a.Err, b.N, b.Err)
		}
		f.must(pollOf(r, pollIn), pollIn)
		if s := f.rest(r, w); s != "x" {
			f.Fatalf("left in the pipe: %q", s)
		}
		f.must(pollOf(r, pollIn), pollHup)
	}
	r, w := f.pipe()
	q := pollOf(r, pollIn)
	f.start(q)
	f.stay(q)
	f.closeHandle(w)
	if f.await(q); q.N != pollHup || q.Err != nil {
		f.Errorf("the other end is gone: %#x, %v", q.N, q.Err)
	}
}

func pollSynchronousPipe(f *fixture) {
	r, w := f.synchronousPipe()
	for range 20 {
		q := pollOf(r, pollIn)
		f.start(q)
		f.stay(q)
		f.cancel(q)
		f.canceled(q)
		f.start(again2(q))
		f.must(write(w, "x", driver.CurrentOffset), 1)
		if f.await(q); q.N != pollIn || q.Err != nil {
			f.Fatalf("%#x, %v", q.N, q.Err)
		}
		f.must(read(r, 8, driver.CurrentOffset), 1)
	}
	f.closeHandle(w)
	f.must(pollOf(r, pollIn), pollHup)
}

// pollFile: it is always ready.
func pollFile(f *fixture) {
	path := f.tempFile("")
	for _, h := range []driver.Handle{f.openFile(path, os.O_RDWR), f.synchronousFile(path)} {
		f.must(pollOf(h, pollIn|pollOut), pollIn|pollOut)
		f.must(pollOf(h, pollIn), pollIn)
	}
}

func pollUnsupported(f *fixture) {
	_, w := f.pipe()
	messages, _ := f.messagePipe()
	for _, c := range []struct {
		h      driver.Handle
		events uint32
		why    string
	}{
		{w, pollOut, "when a pipe has room"},
		{w, 0, "a hang-up"},
		{messages, pollIn, "an empty message"},
		{f.openFile("NUL", os.O_RDWR), pollIn, "this is none"},
	} {
		r := pollOf(c.h, c.events)
		if f.fails(r, driver.ErrUnsupported); !saysWhy(r.Err, c.why) {
			f.Errorf("%v; want %q", r.Err, c.why)
		}
	}
}

// saysWhy reports whether err is ErrUnsupported with a reason that has why in it.
func saysWhy(err error, why string) bool {
	return errors.Is(err, driver.ErrUnsupported) && errors.Is(err, errors.ErrUnsupported) && strings.Contains(err.Error(), why)
}

// manyPolls: several at a time, for different events.
func manyPolls(f *fixture) {
	s, peer := f.rawConnection(true)
	var ins []*driver.Request
	for range 20 {
		q := pollOf(driver.Handle(s), pollIn)
		f.start(q)
		ins = append(ins, q)
		f.must(pollOf(driver.Handle(s), pollOut), pollOut)
	}
	f.stay(ins...)
	f.cancel(ins[7])
	f.canceled(ins[7])
	f.sendRaw(peer, "data")
	for i, q := range ins {
		if f.await(q); i != 7 && (q.N != pollIn || q.Err != nil) {
			f.Errorf("%#x, %v", q.N, q.Err)
		}
	}
}

func cancelPoll(f *fixture) {
	s, _ := f.rawConnection(true)
	r, _ := f.pipe()
	for i := range 100 {
		for _, h := range []driver.Handle{driver.Handle(s), r} {
			q := pollOf(h, pollIn)
			f.start(q)
			if i%2 == 0 {
				f.stay(q)
			}
			f.cancel(q)
			f.cancel(q)
			f.canceled(q)
		}
	}
}

// cancelPollRace: the data races with the cancel. Whoever wins, the data is still there.
func cancelPollRace(f *fixture) {
	s, peer := f.rawConnection(true)
	ready := 0
	for i := range 100 {
		q := pollOf(driver.Handle(s), pollIn)
		f.start(q)
		f.flush()
		var sent atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			n, err := peer.Write([]byte("data"))
			if err != nil {
				f.Error(err)
			}
			sent.Store(int64(n))
		})
		for range i % 7 {
			runtime.Gosched()
		}
		f.cancel(q)
		f.await(q)
		wg.Wait()
		switch {
		case q.Err == nil && q.N == pollIn:
			ready++
		case q.Err != driver.ErrCanceled:
			f.Fatalf("%#x, %v", q.N, q.Err)
		}
		for left := int(sent.Load()); left > 0; {
			q := read(driver.Handle(s), left, driver.CurrentOffset)
			n, err := f.do(q)
			if err != nil || n == 0 {
				f.Fatalf("%d, %v", n, err)
			}
			left -= n
		}
	}
	f.Logf("%d of 100 were faster than their cancel", ready)
}

func cancelPollBefore(f *fixture) {
	s, _ := f.rawConnection(true)
	foreign, _ := f.rawConnection(false)
	r, _ := f.pipe()
	for _, h := range []driver.Handle{driver.Handle(s), driver.Handle(foreign), r} {
		for range 10 {
			q := pollOf(h, pollIn)
			f.cancel(q)
			f.start(q)
			f.canceled(q)
		}
	}
}

func cancelAllPolls(f *fixture) {
	var all []*driver.Request
	for i := range 10 {
		s, _ := f.rawConnection(i%2 == 0)
		q := pollOf(driver.Handle(s), pollIn)
		f.start(q)
		all = append(all, q)
	}
	f.stay(all...)
	f.d.CancelAll()
	f.canceled(all...)
}

func badPolls(f *fixture) {
	for _, h := range []driver.Handle{badHandle, driver.RegisteredHandle(7)} {
		f.fails(pollOf(h, pollIn), windows.ERROR_INVALID_HANDLE)
	}
	_, w := f.pipe()
	f.fails(pollOf(w, pollIn), windows.ERROR_ACCESS_DENIED)
}

func ioctl(s windows.Handle, code uint32, argument, n *uint32) error {
	return windows.WSAIoctl(s, code, (*byte)(unsafe.Pointer(argument)), 4, nil, 0, n, nil, 0)
}
