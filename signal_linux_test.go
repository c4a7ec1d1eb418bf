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

// TestWatch_PeerShutsDown: HangUp of a socket, beside what there is to read, and to who asks for nothing else.
func TestWatch_PeerShutsDown(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		a, b, err := newDuplex()
		if err != nil {
			t.Fatal(err)
		}
		defer closeRaw(a)
		defer closeRaw(b)
		_, hangUps := watch(t, m, a, HangUp, OneShot)
		r, calls := watch(t, m, a, Readable, Persistent)
		put(t, b, "the last")
		if ready := receive(t, m, calls); ready != Readable {
			t.Errorf("%v", ready)
		}
		quiet(t, m)
		if len(hangUps) != 0 {
			t.Errorf("%v", <-hangUps)
		}
		if err := unix.Shutdown(int(b), unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		if ready := receive(t, m, hangUps); ready != HangUp {
			t.Errorf("%v", ready)
		}
		for ready := Readable; ready != Readable|HangUp; ready = receive(t, m, calls) {
			if ready != Readable {
				t.Fatalf("%v", ready)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		_, calls = watch(t, m, a, Writable|Readable, OneShot)
		if ready := receive(t, m, calls); ready != Writable|Readable|HangUp {
			t.Errorf("%v", ready)
		}
		for err == nil {
			_, err = unix.SendmsgN(int(a), make([]byte, 1<<12), nil, nil, unix.MSG_DONTWAIT)
		}
		if err != unix.EAGAIN {
			t.Fatal(err)
		}
		_, calls = watch(t, m, a, Writable|Readable, OneShot) // the peer sends no more, and there is no room for what it is sent
		if ready := receive(t, m, calls); ready != Readable|HangUp {
			t.Errorf("no room: %v", ready)
		}
		if err := unix.Shutdown(int(b), unix.SHUT_RD); err != nil {
			t.Fatal(err)
		}
		_, calls = watch(t, m, a, Writable, OneShot) // a write fails
		if ready := receive(t, m, calls); ready != Writable|HangUp {
			t.Errorf("all is over: %v", ready)
		}
	})
}

// TestWatch_EachItsEvents: of several registrations on one handle, an event calls those that have asked for it, each with no more than it has asked
// for, and a one-shot once, as the seed's EventData deals out what a wait for all of them has found.
func TestWatch_EachItsEvents(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		a, b, err := newDuplex()
		if err != nil {
			t.Fatal(err)
		}
		defer closeRaw(a)
		defer closeRaw(b)
		for err == nil {
			_, err = unix.SendmsgN(int(a), make([]byte, 1<<12), nil, nil, unix.MSG_DONTWAIT)
		}
		asked := [4]Event{Readable, Writable, Readable | Writable, HangUp}
		var once, often [4]<-chan Event
		for i, events := range asked {
			_, once[i] = watch(t, m, a, events, OneShot)
			_, often[i] = watch(t, m, a, events, Persistent)
		}
		before := [4]Event{}
		for _, step := range []struct {
			what string
			do   func()
			want [4]Event // 0: no call
		}{
			{"nothing to read, no room", func() {}, [4]Event{}},
			{"something to read", func() { put(t, b, "x") }, [4]Event{Readable, 0, Readable, 0}},
			{"room too", func() {
				for err := error(nil); err == nil; {
					_, _, err = unix.Recvfrom(int(b), make([]byte, 1<<16), unix.MSG_DONTWAIT)
				}
			}, [4]Event{Readable, Writable, Readable | Writable, 0}},
			{"the peer sends no more", func() {
				if err := unix.Shutdown(int(b), unix.SHUT_WR); err != nil {
					t.Error(err)
				}
			}, [4]Event{Readable | HangUp, Writable | HangUp, Readable | Writable | HangUp, HangUp}},
		} {
			step.do()
			quiet(t, m)
			for i, want := range step.want {
				if want == 0 || before[i] != 0 {
					if len(once[i]) != 0 {
						t.Errorf("%s: the one-shot for %v was called with %v", step.what, asked[i], <-once[i])
					}
				} else if ready := receive(t, m, once[i]); ready != want {
					t.Errorf("%s: the one-shot for %v was called with %v; want %v", step.what, asked[i], ready, want)
				}
				if want == 0 && len(often[i]) != 0 {
					t.Errorf("%s: who asks for %v was called with %v", step.what, asked[i], <-often[i])
				}
				for ready := before[i]; ready != want; ready = receive(t, m, often[i]) {
					if ready != before[i] {
						t.Fatalf("%s: who asks for %v was called with %v; want %v", step.what, asked[i], ready, want)
					}
				}
			}
			before = step.want
		}
	})
}

// TestWatch_NobodyReads: a pipe whose readers are gone is Writable, since a write fails, also while it is full.
func TestWatch_NobodyReads(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, full := range []bool{false, true} {
			in, out := pipe(t, m)
			if full {
				fillPipe(t, out)
			}
			do(t, m, closing(in))
			r, calls := watch(t, m, out, Writable, OneShot)
			if ready := receive(t, m, calls); ready != Writable|Error || r.Err() != nil {
				t.Errorf("full: %v: %v, %v", full, ready, r.Err())
			}
		}
	})
}
