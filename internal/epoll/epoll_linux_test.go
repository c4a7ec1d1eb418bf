package epoll

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/clock"
	"github.com/ringport/ringport/internal/patience"
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

// TestServe: Serve sees what happens before it begins or later, and needs no memory for it.
func TestServe(t *testing.T) {
	e := open(t)
	const pipes = 10
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
		e.Serve(func(events []unix.EpollEvent) {
			for _, event := range events {
				got <- event
			}
		})
	}()
	if event := <-got; int(event.Fd) != r[0] || event.Events != unix.EPOLLIN {
		t.Errorf("%+v", event)
	}
	for _, n := range []int{1, 2, pipes} {
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
	if err := patience.Until(asleep); err != nil {
		t.Fatal(err)
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

// asleep objects unless Serve waits in the runtime's poller.
func asleep() error {
	all := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if strings.Contains(stack, "(*Instance).Serve(") && strings.Contains(stack, "[IO wait]") {
			return nil
		}
	}
	return errors.New("Serve does not sleep")
}

// TestServe_Many: what there is no room for in one look comes in the next, though the stay is over.
func TestServe_Many(t *testing.T) {
	e := open(t)
	const many = 5 * roomAtFirst
	for range many {
		fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := e.Control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLONESHOT); err != nil {
			t.Fatal(err)
		}
	}
	seen, ended := make(chan int), make(chan bool)
	go func() {
		defer close(ended)
		e.Serve(func(events []unix.EpollEvent) {
			for began := clock.Nanos(); clock.Nanos()-began < stayNanos; {
				runtime.Gosched()
			}
			seen <- len(events)
		})
	}()
	for left := many; left > 0; {
		select {
		case n := <-seen:
			left -= n
		case <-time.After(patience.Limit):
			t.Fatalf("%d of %d are not seen", left, many)
		}
	}
	e.Close()
	<-ended
}

// TestServe_EndlessEvents: Close ends Serve also where each event makes the next one.
func TestServe_EndlessEvents(t *testing.T) {
	e := open(t)
	r, w := pipe(t)
	x := []byte("x")
	unix.Write(w, x)
	if err := e.Control(unix.EPOLL_CTL_ADD, r, unix.EPOLLIN|unix.EPOLLET&(1<<32-1)); err != nil {
		t.Fatal(err)
	}
	calls, ended := make(chan bool, 1), make(chan bool)
	go func() {
		defer close(ended)
		buf := make([]byte, 1)
		e.Serve(func([]unix.EpollEvent) {
			unix.Read(r, buf)
			unix.Write(w, x)
			select {
			case calls <- true:
			default:
			}
		})
	}()
	for range 100 {
		<-calls
	}
	e.Close()
	<-ended
}

// TestStay: Serve looks again, in vain or not, until nothing has come for a while, which is none if things come seldom, and never for long.
func TestStay(t *testing.T) {
	s := stay{last: -lingerNanos}
	for i, c := range []struct {
		begin, found  int64 // no event: 0
		handled, asks int64
		inVain, over  bool
	}{
		{begin: 1, found: 1, handled: 2, asks: 2, over: false},
		{asks: 3, inVain: true, over: true}, // nothing had come for long before it
		{begin: 2 + lingerNanos, found: 2 + lingerNanos, handled: 100_000, asks: 100_001, inVain: true, over: true},
		{begin: 100_001, found: 99_999 + lingerNanos, handled: 200_000, asks: 200_000, over: false},
		{asks: 199_999 + lingerNanos, inVain: true, over: false},
		{asks: 200_000 + lingerNanos, inVain: true, over: true},
		{begin: 240_000, found: 240_000, handled: 240_001, asks: 239_999 + stayNanos, over: false},
		{asks: 240_000 + stayNanos, over: true},
	} {
		if c.begin != 0 {
			s.began = c.begin
		}
		if c.found != 0 {
			s.found(c.found)
			s.last = c.handled
		}
		if got := s.over(c.asks, c.inVain); got != c.over {
			t.Errorf("%d: over is %v: %+v", i, got, s)
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
	e.Serve(func([]unix.EpollEvent) { t.Error("called after Close") })
}
