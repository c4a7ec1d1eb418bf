package pool

import (
	"bytes"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// TestTry: what can be sent and received at once is, and what can't be is an error, never a wait or a signal.
func TestTry(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // blocking
	if err != nil {
		t.Fatal(err)
	}
	a, b := fds[0], fds[1]
	defer unix.Close(a)
	file, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	buf := make([]byte, 128<<10)
	check := func(what string, n int, err error, wantN int, want error) {
		t.Helper()
		if n != wantN || err != want {
			t.Errorf("%s: %d, %v; want %d, %v", what, n, err, wantN, want)
		}
	}
	for _, size := range []int{1, maxSend, maxSend + 1, maxReceive, maxReceive + 1} { // with and without a word to the scheduler
		data := bytes.Repeat([]byte("x"), size)
		n, err := TryReceive(b, buf)
		check("nothing to receive", n, err, 0, unix.EAGAIN)
		n, err = TrySend(a, data)
		check("send", n, err, size, nil)
		n, err = TryReceive(b, buf)
		check("receive", n, err, size, nil)
	}
	for err = nil; err == nil; {
		_, err = TrySend(a, buf)
	}
	check("no room", 0, err, 0, unix.EAGAIN)
	n, err := TrySend(file, buf[:1])
	check("no socket", n, err, 0, unix.ENOTSOCK)
	n, err = TryReceive(-1, buf)
	check("no descriptor", n, err, 0, unix.EBADF)
	unix.Close(b)
	for _, size := range []int{1, maxReceive + 1} {
		n, err = TrySend(a, buf[:size])
		check("no peer", n, err, 0, unix.EPIPE)
	}
}

// TestTryMessage: a message that can be moved at once is, with all that belongs to it, and one that can't be is left to who can wait.
func TestTryMessage(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) // blocking
	if err != nil {
		t.Fatal(err)
	}
	a, b := fds[0], fds[1]
	defer unix.Close(a)
	request := func(k driver.Kind, flags uint32, bufs ...[]byte) *driver.Request {
		return &driver.Request{Kind: k, Arg: flags, Ext: &driver.Ext{Vec: bufs, Message: &driver.Message{Address: &driver.Address{}}}}
	}
	check := func(what string, r *driver.Request, fd int, done bool, n int, want error) {
		t.Helper()
		if got := TryMessage(r, fd); got != done || done && (r.N != n || r.Err != want) {
			t.Errorf("%s: over %v, %d, %v; want %v, %d, %v", what, got, r.N, r.Err, done, n, want)
		}
	}
	buf := make([]byte, 4)
	in := request(driver.RecvMsg, 0, buf)
	check("nothing to receive", in, b, false, 0, nil)
	check("nothing to receive, and no wait", request(driver.RecvMsg, driver.DontWait, buf), b, true, 0, unix.EAGAIN)
	check("in one piece", request(driver.SendMsg, 0, []byte("four")), a, true, 4, nil)
	check("receive", in, b, true, 4, nil)
	check("in two", request(driver.SendMsg, 0, []byte("long"), []byte("er")), a, true, 6, nil)
	check("empty", request(driver.SendMsg, 0, nil), a, true, 0, nil)
	if check("cut", in, b, true, 4, nil); in.Ext.Message.Flags&unix.MSG_TRUNC == 0 {
		t.Error("nobody says that it was cut")
	}
	check("receive an empty one", in, b, true, 0, nil)
	out := request(driver.SendMsg, 0, buf)
	for TryMessage(out, a) {
		if out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	check("no room, and no wait", request(driver.SendMsg, driver.DontWait, buf), a, true, 0, unix.EAGAIN)
	unix.Close(b)
	check("no peer", out, a, true, 0, unix.ECONNREFUSED)
	check("no socket", out, -1, true, 0, unix.EBADF)
}

// TestTryTo: a message with its address, short or long, that is moved at once or not at all.
func TestTryTo(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) // blocking
	if err != nil {
		t.Skip("no IPv6:", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}); err != nil {
		t.Skip("no IPv6:", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	var at, from driver.Address
	SetAddress(&at, name)
	for _, size := range []int{0, 1, maxSend, maxSend + 1} { // with and without a word to the scheduler
		in, out := make([]byte, size), bytes.Repeat([]byte("x"), size)
		if size > maxSend {
			in = make([]byte, maxReceive+1)
		}
		if n, err := TryReceiveFrom(fd, in, &from); n != 0 || err != unix.EAGAIN {
			t.Errorf("nothing to receive: %d, %v", n, err)
		}
		from.Raw[100] = 1
		if n, err := TrySendTo(fd, out, &at); n != size || err != nil {
			t.Errorf("send %d: %d, %v", size, n, err)
		}
		until(func() bool { return pollNow(fd, unix.POLLIN) != 0 }) // a busy kernel may take its time
		if n, err := TryReceiveFrom(fd, in, &from); n != size || err != nil || from != at || !bytes.Equal(in[:n], out) {
			t.Errorf("receive %d: %d from %v, want %v, %v", size, n, from.Raw[:32], at.Raw[:32], err)
		}
		if n, err := TrySendTo(fd, out, &driver.Address{}); n != 0 || err != unix.EDESTADDRREQ {
			t.Errorf("to nobody: %d, %v", n, err)
		}
	}
}

// TestTry_NoSignal: to send what nobody can receive any more is EPIPE and raises no SIGPIPE.
func TestTry_NoSignal(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // of messages only SCTP raises it
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	unix.Close(fds[1])
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGPIPE, unix.SIGWINCH)
	defer signal.Stop(signals)
	message := &driver.Request{Kind: driver.SendMsg, Ext: &driver.Ext{Vec: [][]byte{{1}}, Message: &driver.Message{}}}
	TryMessage(message, fds[0])
	_, sent := TrySend(fds[0], []byte{1})
	_, sentTo := TrySendTo(fds[0], []byte{1}, &driver.Address{})
	for _, err := range []error{message.Err, sent, sentTo} {
		if err != unix.EPIPE {
			t.Errorf("%v, want EPIPE", err)
		}
	}
	// A SIGPIPE would be there by now, and the one with the lower number comes first.
	if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if got := <-signals; got != unix.SIGWINCH {
		t.Errorf("%v", got)
	}
}
