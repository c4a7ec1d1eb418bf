package ringport

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// newSignal makes what is signalled between set and clear, each of which may be called several times: an eventfd.
func newSignal(t testing.TB) bell {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	return bell{Handle(fd), new([8]byte)}
}

var oneMore = [8]byte{1}

func (s bell) set() error {
	_, err := syscall.Write(int(s.h), oneMore[:])
	return err
}

func (s bell) clear() error {
	if _, err := syscall.Read(int(s.h), s.buf[:]); err != syscall.EAGAIN {
		return err
	}
	return nil
}

// signalsMost is how many of n signals this process can have.
func signalsMost(t *testing.T, n int) int {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const others = 500
	return min(n, int(min(limit.Cur, 1<<30))-others)
}
