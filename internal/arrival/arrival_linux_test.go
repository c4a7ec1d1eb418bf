package arrival

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is a connection that package net has made: w of package net, fd a duplicate of the other end's descriptor.
func pair(t *testing.T, network string) (w syscall.RawConn, fd int) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w, err = client.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := server.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return w, fd
}

// send sends each text in a call of its own.
func send(t *testing.T, w syscall.RawConn, flags int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		var err error
		w.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte(text), flags, nil) })
		if err != nil {
			t.Fatal(err)
		}
	}
}

func add(t *testing.T, p *Poller, fd int) *Socket {
	t.Helper()
	s, err := p.Add(fd)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T) *Poller {
	p := new(Poller)
	t.Cleanup(p.Close)
	return p
}

// receive is a reader: it receives once there is something, and tells what it got.
func receive(t *testing.T, s *Socket, fd int) string {
	t.Helper()
	buf := make([]byte, 16)
	for {
		if s.Due() {
			n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
			if err == nil {
				s.Took(n, len(buf))
				return string(buf[:n])
			}
			if err != unix.EAGAIN {
				t.Fatal(err)
			}
			s.Took(0, len(buf))
		}
		if s.Expect() {
			if err := <-s.Woken(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReceive: a reader gets all that is sent, and only a short receive of TCP makes it wait without a try.
func TestReceive(t *testing.T) {
	p := open(t)
	w, fd := pair(t, "tcp")
	s := add(t, p, fd)
	for _, text := range []string{"one", "two"} {
		send(t, w, 0, text)
		if got := receive(t, s, fd); got != text {
			t.Errorf("%q", got)
		}
		// An edge of what was received may come late, and then makes a try in vain.
		for s.Due() {
			if _, _, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_DONTWAIT); err != unix.EAGAIN {
				t.Fatal(err)
			}
			s.Took(0, 1)
		}
	}
	s.Due()
	if s.Took(16, 16); !s.Due() {
		t.Error("after a receive that was filled nothing was due")
	}
	if s.Took(3, 16); s.Due() {
		t.Error("after a short receive a try was due")
	}
}

// TestShortButNotDry: what ends a receive early although there is more. It is all there before the first edge, so that no later one tells.
func TestShortButNotDry(t *testing.T) {
	for name, c := range map[string]struct {
		network string
		send    func(w syscall.RawConn)
		want    []string
	}{
		"the end": {"tcp", func(w syscall.RawConn) {
			send(t, w, 0, "abc")
			w.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
		}, []string{"abc", ""}},
		"urgent data": {"tcp", func(w syscall.RawConn) {
			send(t, w, 0, "abc")
			send(t, w, unix.MSG_OOB, "!")
			send(t, w, 0, "def")
		}, []string{"abc", "def"}},
		"descriptors": {"unix", func(w syscall.RawConn) {
			w.Control(func(fd uintptr) { unix.Sendmsg(int(fd), []byte("abc"), unix.UnixRights(int(fd)), nil, 0) })
			send(t, w, 0, "def")
		}, []string{"abc", "def"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			w, fd := pair(t, c.network)
			c.send(w)
			s := add(t, p, fd)
			if s.Expect() {
				<-s.Woken()
			}
			for _, want := range c.want {
				if !s.Due() {
					t.Fatalf("nothing is due before %q", want)
				}
				if got := receive(t, s, fd); got != want {
					t.Errorf("%q; want %q", got, want)
				}
			}
		})
	}
}

// TestOneValue: edges and several who end the wait give the reader one value for each Expect.
func TestOneValue(t *testing.T) {
	s, cause := newSocket(true), errors.New("ended")
	s.End(cause) // nobody waits
	var stop atomic.Bool
	var wg sync.WaitGroup
	end := func() { s.End(cause) }
	for _, f := range []func(){end, end, s.arrive} {
		wg.Go(func() {
			for !stop.Load() {
				f()
				runtime.Gosched()
			}
		})
	}
	for range 100000 {
		s.Due()
		s.Took(0, 1)
		if !s.Expect() {
			continue
		}
		if <-s.Woken(); s.state.Load() == awaited {
			t.Error("an earlier wait has left a value")
			break
		}
	}
	stop.Store(true)
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-s.Woken(): // whoever has a value too many needs somebody to take it
		case <-done:
			return
		}
	}
}

// TestRemove: nothing is heard of a socket that was removed, although a duplicate keeps it open, and its number may be another's.
func TestRemove(t *testing.T) {
	p := open(t)
	oldPeer, old := pair(t, "tcp")
	add(t, p, old)
	dup, err := unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dup)
	p.Remove(old)
	_, fd := pair(t, "tcp")
	if err := unix.Dup2(fd, old); err != nil { // the number is another socket's
		t.Fatal(err)
	}
	s := add(t, p, old)
	send(t, oldPeer, 0, "x")
	otherPeer, other := pair(t, "tcp")
	o := add(t, p, other)
	send(t, otherPeer, 0, "y") // comes after it
	if got := receive(t, o, other); got != "y" {
		t.Errorf("%q", got)
	}
	if o.Expect() {
		send(t, otherPeer, 0, "z")
		<-o.Woken()
	}
	if got := s.state.Load(); got != quiet {
		t.Errorf("the new socket's state is %d", got)
	}
}

// TestClose: End and Close end what there is, and later calls do nothing.
func TestClose(t *testing.T) {
	var p Poller
	_, fd := pair(t, "tcp")
	s := add(t, &p, fd)
	if !s.Expect() {
		t.Fatal("something has arrived")
	}
	p.End(os.ErrClosed)
	if err := <-s.Woken(); err != os.ErrClosed {
		t.Error(err)
	}
	p.Close()
	p.Remove(fd)
	p.End(os.ErrClosed)
	if _, err := p.Add(fd); err != os.ErrClosed {
		t.Error(err)
	}
	new(Poller).Close()
}

// TestDueStays: a receive that Took was not told of, because it gave an error or the end, leaves nothing to wait for.
func TestDueStays(t *testing.T) {
	s := newSocket(true)
	s.Took(0, 16)
	s.arrive()
	for range 2 {
		if !s.Due() {
			t.Fatal("nothing is due")
		}
	}
	if s.Took(0, 16); s.Due() {
		t.Error("after a receive of nothing a try was due")
	}
}
