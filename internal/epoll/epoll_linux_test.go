package epoll

import (
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) *Instance {
	t.Helper()
	e, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

// TestWait: a wait sees what happens before it begins or later, and needs no memory.
func TestWait(t *testing.T) {
	e := open(t)
	r, w := pipe(t)
	if err := e.Control(unix.EPOLL_CTL_ADD, r, unix.EPOLLIN|unix.EPOLLET&(1<<32-1)); err != nil {
		t.Fatal(err)
	}
	events := make([]unix.EpollEvent, 4)
	go unix.Write(w, []byte("x"))
	n, ok := 0, true
	for n == 0 && ok {
		n, ok = e.Wait(events)
	}
	if n != 1 || !ok || int(events[0].Fd) != r || events[0].Events != unix.EPOLLIN {
		t.Errorf("%d, %v, %+v", n, ok, events[:n])
	}
	x := []byte("x")
	if n := testing.AllocsPerRun(100, func() {
		unix.Write(w, x)
		e.Wait(events)
	}); n != 0 {
		t.Errorf("%v allocations a wait", n)
	}
	if err := e.Control(unix.EPOLL_CTL_DEL, r, 0); err != nil {
		t.Error(err)
	}
	if err := e.Control(unix.EPOLL_CTL_MOD, r, unix.EPOLLIN); err != unix.ENOENT {
		t.Errorf("a registration that was removed: %v", err)
	}
}

// TestClose ends a wait, and those that come later.
func TestClose(t *testing.T) {
	e := open(t)
	ended := make(chan bool)
	go func() {
		for ok := true; ok; {
			_, ok = e.Wait(make([]unix.EpollEvent, 1))
		}
		_, ok := e.Wait(make([]unix.EpollEvent, 1))
		ended <- ok
	}()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if <-ended {
		t.Error("a wait after Close")
	}
}
