package epoll

import (
	"runtime"
	"strings"
	"testing"
	"time"

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

// TestServe: Serve sees what happens before it begins or later, as many at a time as fit and more, and needs no memory for it.
func TestServe(t *testing.T) {
	e := open(t)
	const pipes, room = 10, 4
	var r, w [pipes]int
	for i := range pipes {
		r[i], w[i] = pipe(t)
		if err := e.Control(unix.EPOLL_CTL_ADD, r[i], unix.EPOLLIN|unix.EPOLLET&(1<<32-1)); err != nil {
			t.Fatal(err)
		}
	}
	x := []byte("x")
	unix.Write(w[0], x)
	got, ended := make(chan unix.EpollEvent, pipes), make(chan bool)
	go func() {
		defer close(ended)
		e.Serve(make([]unix.EpollEvent, room), func(events []unix.EpollEvent) {
			for _, event := range events {
				got <- event
			}
		})
	}()
	if event := <-got; int(event.Fd) != r[0] || event.Events != unix.EPOLLIN {
		t.Errorf("%+v", event)
	}
	for _, n := range []int{1, 2, room, pipes} {
		if allocated := testing.AllocsPerRun(100, func() {
			seen := 0
			for _, fd := range w[:n] {
				unix.Write(fd, x)
			}
			for range n {
				event := <-got
				for i := range n {
					if int(event.Fd) == r[i] {
						seen |= 1 << i
					}
				}
			}
			if seen != 1<<n-1 {
				t.Fatalf("of %d pipes %b were seen", n, seen)
			}
		}); allocated != 0 {
			t.Errorf("%v allocations for %d events", allocated, n)
		}
	}
	for !asleep() {
		runtime.Gosched()
	}
	unix.Write(w[0], x)
	<-got
	if err := e.Control(unix.EPOLL_CTL_DEL, r[0], 0); err != nil {
		t.Error(err)
	}
	if err := e.Control(unix.EPOLL_CTL_MOD, r[0], unix.EPOLLIN); err != unix.ENOENT {
		t.Errorf("a registration that was removed: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

// asleep reports whether Serve waits in the runtime's poller.
func asleep() bool {
	all := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(stack, "(*Instance).Serve(") && strings.Contains(stack, "[IO wait]") {
			return true
		}
	}
	return false
}

// TestNextLooks: short sleeps make Serve look more often in vain, long ones less, within bounds.
func TestNextLooks(t *testing.T) {
	for _, c := range []struct {
		looks int
		slept time.Duration
		want  int
	}{
		{1, 0, 2}, {16, shortSleep - 1, 32}, {maxLooks, 0, maxLooks}, {maxLooks, shortSleep, maxLooks / 2}, {2, time.Hour, 1}, {1, time.Hour, 1},
	} {
		if got := nextLooks(c.looks, c.slept); got != c.want {
			t.Errorf("%d looks after %d and %v; want %d", got, c.looks, c.slept, c.want)
		}
	}
}

// TestServe_Closed ends at once.
func TestServe_Closed(t *testing.T) {
	e := open(t)
	r, w := pipe(t)
	if err := e.Control(unix.EPOLL_CTL_ADD, r, unix.EPOLLIN|unix.EPOLLET&(1<<32-1)); err != nil {
		t.Fatal(err)
	}
	unix.Write(w, []byte("x"))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e.Serve(make([]unix.EpollEvent, 1), func([]unix.EpollEvent) { t.Error("called after Close") })
}
