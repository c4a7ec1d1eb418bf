package pool

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
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
