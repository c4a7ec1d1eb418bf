package pool

import (
	"bytes"
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
	buf := make([]byte, 64<<10)
	check := func(what string, n int, err error, wantN int, want error) {
		t.Helper()
		if n != wantN || err != want {
			t.Errorf("%s: %d, %v; want %d, %v", what, n, err, wantN, want)
		}
	}
	for _, size := range []int{1, maxTry, maxTry + 1} { // with and without a word to the scheduler
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
	for _, size := range []int{1, maxTry + 1} {
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
