package ringport

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// bell is a handle that a test signals, see newSignal.
type bell struct {
	h   Handle
	buf *[8]byte // what clear reads into
}

// openSignal is one that the end of the test closes.
func openSignal(t testing.TB) bell {
	t.Helper()
	s := newSignal(t)
	own(t, s.h)
	return s
}

func (s bell) mustSet(t testing.TB) {
	t.Helper()
	if err := s.set(); err != nil {
		t.Error("set:", err)
	}
}

func (s bell) mustClear(t testing.TB) {
	t.Helper()
	if err := s.clear(); err != nil {
		t.Error("clear:", err)
	}
}

// callsMost is how many calls a watch of the tests keeps; those after it are not told of.
const callsMost = 1000

// watch registers for events, and returns them as they come.
func watch(t testing.TB, m *Manager, h Handle, events Event, lifetime Lifetime) (*Registration, <-chan Event) {
	t.Helper()
	calls := make(chan Event, callsMost)
	r, err := m.Watch(h, events, lifetime, func(_ *Registration, ready Event) {
		select {
		case calls <- ready:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, calls
}

// quiet gives a manager every occasion to call what it still has to call.
func quiet(t testing.TB, m *Manager) {
	t.Helper()
	for range 5 {
		do(t, m, nop())
		receive(t, m, start(t, m, nop()))
	}
}

// noPolls expects that nothing is waited for any more, and no handle remembered.
func noPolls(t testing.TB, m *Manager) {
	t.Helper()
	quiet(t, m)
	if err := patience.Until(func() error {
		if !m.shared { // a cancelled poll may take longer to come back than quiet looks
			if _, err := m.Step(0); err != nil {
				return err
			}
		}
		if n := m.Stats().InFlight; n != 0 {
			return fmt.Errorf("%d polls go on", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if n := len(m.watches.on); n != 0 {
		t.Errorf("%d handles are still known", n)
	}
}

// isOver expects that r has ended before, with the given reason.
func isOver(t testing.TB, r *Registration, why error) {
	t.Helper()
	if err := r.Err(); !errors.Is(err, why) {
		t.Errorf("%v has ended because of %v, and should because of %v", r, err, why)
	}
	var op *OpError
	if err := r.Close(); !errors.Is(err, os.ErrClosed) || !errors.As(err, &op) || op.Op != "close" || op.Name != r.String() {
		t.Errorf("another close: %v", err)
	}
}

func TestEvent_String(t *testing.T) {
	for e, want := range map[Event]string{0: "none", Readable: "readable", Readable | HangUp: "readable|hang-up",
		allEvents: "readable|writable|hang-up|error|signalled", Writable | 1<<8: "writable|0x100"} {
		if e.String() != want {
			t.Errorf("%q, want %q", e, want)
		}
	}
	if s := fmt.Sprint(OneShot, Persistent, Lifetime(7)); s != "one-shot persistent lifetime 7" {
		t.Error(s)
	}
}

// TestWatch_Level: what is left is reported again, and what isn't there is not.
func TestWatch_Level(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		in, out := pipe(t, m)
		calls, taken := 0, make(chan string, 1)
		r, err := m.Watch(in, Readable, Persistent, func(_ *Registration, ready Event) {
			if ready != Readable {
				t.Errorf("%v", ready)
			}
			if calls++; calls%3 != 0 {
				return
			}
			buf := make([]byte, 8)
			n, err := tryRead(in, buf)
			if err != nil {
				t.Error(err)
			}
			taken <- string(buf[:n])
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			s := fmt.Sprint("no ", i)
			put(t, out, s)
			if got := receive(t, m, taken); got != s {
				t.Fatalf("%q, want %q", got, s)
			}
			quiet(t, m)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if calls != 3*20 {
			t.Errorf("%d calls", calls)
		}
		put(t, out, "more")
		quiet(t, m)
		if calls != 3*20 {
			t.Errorf("%d calls after the close", calls)
		}
		isOver(t, r, nil)
	})
}

// TestWatch_OneShot: one call, although what it reports stays.
func TestWatch_OneShot(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		in, out := pipe(t, m)
		const registrations = 5
		made := 1
		order := make(chan *Registration, registrations+1)
		var again func(r *Registration, ready Event)
		again = func(r *Registration, ready Event) {
			if ready != Readable {
				t.Errorf("%v", ready)
			}
			order <- r // before the next one is made, which another worker may call at once
			if made < registrations {
				made++
				if _, err := m.Watch(in, Readable, OneShot, again); err != nil {
					t.Error(err)
				}
			}
		}
		first, err := m.Watch(in, Readable, OneShot, again)
		if err != nil {
			t.Fatal(err)
		}
		never, unused := watch(t, m, in, Readable, OneShot)
		if err := never.Close(); err != nil {
			t.Error(err)
		}
		quiet(t, m)
		put(t, out, "x")
		var all []*Registration
		for range registrations {
			all = append(all, receive(t, m, order))
		}
		quiet(t, m)
		if all[0] != first || len(order) != 0 || len(unused) != 0 {
			t.Errorf("%v, then %d more, and %d of one that was closed", all, len(order), len(unused))
		}
		for _, r := range append(all, never) {
			isOver(t, r, nil)
		}
		s, done := openSignal(t), make(chan bool, 1)
		if _, err := m.Watch(s.h, Signalled, OneShot, func(*Registration, Event) {
			s.mustClear(t)
			done <- true
		}); err != nil {
			t.Fatal(err)
		}
		s.mustSet(t)
		receive(t, m, done)
		noPolls(t, m)
	})
}

// TestWatch_Events: what is reported of what is asked for.
func TestWatch_Events(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		expect := func(h Handle, asked, want Event) {
			t.Helper()
			r, calls := watch(t, m, h, asked, OneShot)
			if ready := receive(t, m, calls); ready != want || r.Err() != nil {
				t.Errorf("asked for %v: %v, %v; want %v", asked, ready, r.Err(), want)
			}
		}
		in, out := pipe(t, m)
		put(t, out, "x")
		expect(in, Readable, Readable)
		expect(in, Readable|Signalled, Readable|Signalled)
		expect(in, Readable|HangUp|Error, Readable)
		if pollsRoom {
			expect(out, Writable, Writable)
			expect(out, Writable|Readable, Writable)
		}
		_, calls := watch(t, m, in, Readable, Persistent)
		for range 10 {
			if ready := receive(t, m, calls); ready != Readable {
				t.Fatalf("%v", ready)
			}
		}
		if n, err := rawRead(in, make([]byte, 8)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		do(t, m, ptr(func(op *Op) { *op = CloseHandle(dup(t, in)) })) // closes nothing that is watched
		do(t, m, closing(out))
		for ready := Readable; ready != Readable|HangUp; ready = receive(t, m, calls) { // a read finds the end
			if ready != Readable {
				t.Fatalf("%v", ready)
			}
		}
		expect(in, Readable, Readable|HangUp)
		if pollsRoom {
			expect(in, Writable, Writable|HangUp) // a write fails
			expect(in, HangUp, HangUp)
		}

		s := openSignal(t)
		s.mustSet(t)
		expect(s.h, Signalled, Signalled)
		expect(s.h, Readable, Readable)
	})
}

// TestWatch_SeveralOnOneHandle: each has its own events and lifetime, and its own end.
func TestWatch_SeveralOnOneHandle(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		s := openSignal(t)
		var persistent, oneShot []*Registration
		var heard, heardOnce []<-chan Event
		names := map[string]bool{}
		for range 5 {
			r, calls := watch(t, m, s.h, Signalled, Persistent)
			persistent, heard = append(persistent, r), append(heard, calls)
			once, call := watch(t, m, s.h, Readable, OneShot)
			oneShot, heardOnce = append(oneShot, once), append(heardOnce, call)
			names[r.String()], names[once.String()] = true, true
			if r.Handle() != s.h || !strings.HasSuffix(r.String(), "(signalled, persistent)") {
				t.Error(r)
			}
		}
		if len(names) != 10 {
			t.Errorf("they are not told apart: %v", names)
		}
		for _, r := range []*Registration{persistent[1], oneShot[1]} {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		for round := range 3 {
			s.mustSet(t)
			for i := range 5 {
				if i == 1 {
					continue
				}
				for range 3 {
					if ready := receive(t, m, heard[i]); ready != Signalled {
						t.Fatalf("%v", ready)
					}
				}
				if round == 0 {
					if ready := receive(t, m, heardOnce[i]); ready != Readable {
						t.Fatalf("%v", ready)
					}
				}
			}
			s.mustClear(t)
			quiet(t, m)
			for i := range 5 {
				for len(heard[i]) > 0 {
					<-heard[i]
				}
				if len(heardOnce[i]) != 0 {
					t.Errorf("the one-shot of %d was called again", i)
				}
			}
		}
		for i, r := range persistent {
			if err := r.Close(); (err == nil) != (i != 1) {
				t.Error(i, err)
			}
			isOver(t, oneShot[i], nil)
		}
		noPolls(t, m)
	})
}

// TestWatch_CloseInTheFunction: of itself, of another, and of the manager.
func TestWatch_CloseInTheFunction(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		s := openSignal(t)
		calls, done := 0, make(chan bool, callsMost)
		other, heard := watch(t, m, openSignal(t).h, Signalled, Persistent)
		var r *Registration
		r, err := m.Watch(s.h, Signalled, Persistent, func(self *Registration, _ Event) {
			if calls++; calls < 3 {
				return
			}
			for _, r := range []*Registration{self, other} {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				isOver(t, r, nil)
			}
			done <- true
		})
		if err != nil {
			t.Fatal(err)
		}
		s.mustSet(t)
		receive(t, m, done)
		quiet(t, m)
		if calls != 3 || len(heard) != 0 {
			t.Errorf("%d calls, %d of the other", calls, len(heard))
		}
		isOver(t, r, nil)

		closed := make(chan error, 1)
		r, err = m.Watch(s.h, Signalled, Persistent, func(*Registration, Event) { closed <- m.Close() })
		if err != nil {
			t.Fatal(err)
		}
		if err := receive(t, m, closed); err != nil { // after some steps, perhaps: the polls of those that were closed come back too
			t.Error(err)
		}
		if err := patience.Until(func() error {
			if r.Err() == nil {
				return errors.New("it goes on") // the function may not have returned
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		isOver(t, r, ErrManagerClosed)
	})
}

// TestWatch_CloseWaits: for a function that is being called, as the second Close does; not so that of a function for itself.
func TestWatch_CloseWaits(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		for _, lifetime := range []Lifetime{OneShot, Persistent} {
			m := open(t, c)
			s := openSignal(t)
			in, leave := make(chan bool), make(chan bool)
			var returned atomic.Bool
			r, err := m.Watch(s.h, Signalled, lifetime, func(*Registration, Event) {
				in <- true
				<-leave
				returned.Store(true)
			})
			if err != nil {
				t.Fatal(err)
			}
			s.mustSet(t)
			<-in
			const closers = 3
			errs := make(chan error, closers)
			for range closers {
				go func() {
					err := r.Close()
					if !returned.Load() {
						t.Error("Close has returned, and the function has not")
					}
					errs <- err
				}()
			}
			if err := patience.Until(func() error {
				n := 0
				for _, stack := range stacks() { // one that only begins may find the function called again, which nobody lets leave
					if strings.Contains(stack, "(*Registration).Close(") && strings.Contains(stack, "(*Cond).Wait(") {
						n++
					}
				}
				if n != closers {
					return fmt.Errorf("%d wait", n)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			close(leave)
			ended := 0
			for range closers {
				if err := <-errs; err == nil {
					ended++
				} else if !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			}
			if want := map[Lifetime]int{OneShot: 0, Persistent: 1}[lifetime]; ended != want {
				t.Errorf("%v: %d have ended it, want %d", lifetime, ended, want)
			}
		}
	})
}

// TestWatch_FunctionThatBlocksOrExits: holds up nobody, nor does its registration end with the goroutine.
func TestWatch_FunctionThatBlocksOrExits(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		c.MinWorkers, c.MaxWorkers = 1, 2
		m := open(t, c)
		a, b := openSignal(t), openSignal(t)
		leave := make(chan bool)
		blocked, err := m.Watch(a.h, Signalled, OneShot, func(*Registration, Event) { <-leave })
		if err != nil {
			t.Fatal(err)
		}
		calls, exits := make(chan bool, callsMost), 0
		exiting, err := m.Watch(b.h, Signalled, Persistent, func(*Registration, Event) {
			b.mustClear(t)
			exits++
			calls <- true
			if exits%2 == 0 {
				runtime.Goexit()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		a.mustSet(t)
		for range 10 {
			b.mustSet(t)
			receive(t, m, calls)
		}
		close(leave)
		if err := exiting.Close(); err != nil {
			t.Error(err)
		}
		isOver(t, blocked, nil)
	})
}

// TestWatch_HandleClosed: by an operation or by its File, while the registration waits and while its function runs. Its number may be
// another's at once.
func TestWatch_HandleClosed(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		s := newSignal(t)
		a, heardA := watch(t, m, s.h, Signalled, Persistent)
		b, heardB := watch(t, m, s.h, Readable, OneShot)
		quiet(t, m)
		do(t, m, ptr(func(op *Op) { *op = CloseHandle(s.h) }))
		next := openSignal(t)
		if next.h != s.h {
			t.Logf("the next handle is %d, not %d again", next.h, s.h)
		}
		r, heard := watch(t, m, next.h, Signalled, Persistent)
		for _, calls := range []<-chan Event{heardA, heardB} {
			if ready := receive(t, m, calls); ready != Error {
				t.Errorf("%v", ready)
			}
		}
		isOver(t, a, os.ErrClosed)
		isOver(t, b, os.ErrClosed)
		quiet(t, m)
		if len(heard) != 0 {
			t.Error("the next handle's was called")
		}
		next.mustSet(t)
		if ready := receive(t, m, heard); ready != Signalled {
			t.Errorf("%v", ready)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if len(heardA)+len(heardB) != 0 {
			t.Error("the first handle's were called again")
		}

		s = newSignal(t)
		both := make(chan Event, 2)
		r, err := m.Watch(s.h, Signalled, Persistent, func(r *Registration, ready Event) {
			if ready == Signalled {
				if _, err := m.Do(t.Context(), ptr(func(op *Op) { *op = CloseHandle(r.Handle()) })); err != nil {
					t.Error(err)
				}
				openSignal(t) // it has the number now, and is not set
			}
			both <- ready
		})
		if err != nil {
			t.Fatal(err)
		}
		s.mustSet(t)
		if first, second := receive(t, m, both), receive(t, m, both); first != Signalled || second != Error {
			t.Errorf("%v, then %v", first, second)
		}
		isOver(t, r, os.ErrClosed)

		in, out, err := newPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer closeRaw(out)
		f, err := m.NewFile(in, "pipe")
		if err != nil {
			t.Fatal(err)
		}
		r, calls := watch(t, m, in, Readable, Persistent)
		quiet(t, m)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if ready := receive(t, m, calls); ready&Error == 0 {
			t.Errorf("%v", ready)
		}
		isOver(t, r, os.ErrClosed)
	})
}

// TestWatch_ManagerClose: thousands end, and none is called afterwards.
func TestWatch_ManagerClose(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		set, unset := openSignal(t), openSignal(t)
		var closed atomic.Bool
		var all []*Registration
		for i := range signalsMost(t, 5000) {
			s := unset
			if i%100 == 0 {
				s = set
			}
			r, err := m.Watch(s.h, Signalled, Lifetime(i%2), func(r *Registration, ready Event) {
				if closed.Load() || ready != Signalled {
					t.Errorf("%v: %v, closed %v", r, ready, closed.Load())
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		set.mustSet(t)
		quiet(t, m)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		closed.Store(true)
		unset.mustSet(t)
		for i, r := range all {
			if i%100 == 0 && i%2 == int(OneShot) && r.Err() == nil { // it was called before
				isOver(t, r, nil)
			} else {
				isOver(t, r, ErrManagerClosed)
			}
		}
		if _, err := m.Watch(set.h, Signalled, OneShot, func(*Registration, Event) {}); !errors.Is(err, ErrManagerClosed) {
			t.Error(err)
		}
	})
}

// TestBadInput_Watch is refused at once, and leaves nothing.
func TestBadInput_Watch(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		s := openSignal(t)
		f := func(r *Registration, ready Event) { t.Errorf("%v: %v", r, ready) }
		for name, bad := range map[string]struct {
			h        Handle
			events   Event
			lifetime Lifetime
			f        func(*Registration, Event)
			want     error
		}{
			"closed":      {notOpen, Readable, OneShot, f, errBadHandle},
			"no handle":   {^Handle(0), Readable, OneShot, f, errBadHandle},
			"no function": {s.h, Readable, OneShot, nil, ErrNilCallback},
			"no event":    {s.h, 0, OneShot, f, ErrInvalidOp},
			"strange":     {s.h, Readable | 1<<20, OneShot, f, fs.ErrInvalid},
			"lifetime":    {s.h, Readable, 2, f, ErrInvalidOp},
		} {
			r, err := m.Watch(bad.h, bad.events, bad.lifetime, bad.f)
			if r != nil {
				t.Errorf("%s: %v", name, r)
			}
			checkTyped(t, "watch", 0, err, bad.want)
			if says := map[string]string{"no event": "no events", "strange": "readable|0x100000", "lifetime": "lifetime 2"}[name]; !strings.Contains(fmt.Sprint(err), says) {
				t.Errorf("%s: it says %v, and not %q", name, err, says)
			}
		}
		if s := m.Stats(); s.InFlight != 0 || len(m.watches.on) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestWatch_EmptyRegisteredFile: that there is none is found only while waiting.
func TestWatch_EmptyRegisteredFile(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		if err := m.RegisterFiles([]Handle{^Handle(0)}); err != nil {
			t.Fatal(err)
		}
		for _, h := range []Handle{RegisteredFile(0), RegisteredFile(1)} {
			r, calls := watch(t, m, h, Readable, Persistent)
			if ready := receive(t, m, calls); ready != Error {
				t.Errorf("%v", ready)
			}
			isOver(t, r, errBadHandle)
		}
	})
}

// watched is one registration of TestLaw1_WatchAtRandom.
type watched struct {
	r       *Registration
	spot    *spot
	once    bool
	heard   atomic.Bool  // of this round's signal
	calls   atomic.Int64 // so far
	running atomic.Bool
	leave   atomic.Bool // to close itself
	closed  atomic.Bool // Close has returned
	live    bool        // nobody has closed it, and it is no one-shot that was called: the round's
}

// spot is a handle and what watches it.
type spot struct {
	bell
	all     []*watched
	waiting atomic.Int64 // for so many of all, and for the round itself
	heard   chan bool
}

func (w *watched) hear(t *testing.T) {
	if !w.heard.Swap(true) {
		w.spot.oneLess(t)
	}
}

// oneLess ends the round when nobody is waited for: what stays signalled is called all the time.
func (s *spot) oneLess(t *testing.T) {
	if s.waiting.Add(-1) == 0 {
		s.mustClear(t)
		s.heard <- true
	}
}

func (w *watched) ready(t *testing.T, r *Registration, ready Event) {
	calls := w.calls.Add(1)
	switch {
	case w.running.Swap(true):
		t.Error("two calls at a time")
	case w.closed.Load():
		t.Error("called after Close has returned")
	case ready != Signalled, r.Err() != nil:
		t.Errorf("%v: %v", ready, r.Err())
	case w.once && calls > 1:
		t.Error("a one-shot was called again")
	}
	if w.leave.Load() {
		if err := r.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		w.closed.Store(true)
	}
	w.hear(t)
	w.running.Store(false)
}

// round signals the handle, closes some of what watches it meanwhile, and waits until all the others have heard of it.
func (s *spot) round(t *testing.T, m *Manager, rng *rand.Rand, wait func(<-chan bool)) {
	s.waiting.Store(1)
	for _, w := range s.all {
		if w.live {
			s.waiting.Add(1)
			w.leave.Store(rng.IntN(20) == 0)
			w.heard.Store(false)
		}
	}
	s.mustSet(t)
	for _, w := range s.all {
		if !w.live || rng.IntN(5) != 0 {
			continue
		}
		if err := w.r.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		w.closed.Store(true)
		w.live = false
		w.hear(t)
	}
	s.oneLess(t)
	wait(s.heard)
	for _, w := range s.all {
		w.live = w.live && !w.once && !w.leave.Load()
	}
}

// TestLaw1_WatchAtRandom: ten registrations on each of ten thousand handles (fewer where the system has less to give), which are closed and signalled
// at random: none misses its signal, and none is called when its Close has returned.
func TestLaw1_WatchAtRandom(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		const each = 10
		m := open(t, c)
		seed := testSeed(t)
		n := signalsMost(t, lessUnderRace(10_000))
		spots := make([]*spot, n)
		for i := range spots {
			s := &spot{bell: openSignal(t), heard: make(chan bool, 1)}
			for j := range each {
				w := &watched{spot: s, once: j%3 == 0, live: true}
				w.heard.Store(true)
				lifetime := Persistent
				if w.once {
					lifetime = OneShot
				}
				var err error
				if w.r, err = m.Watch(s.h, Signalled, lifetime, func(r *Registration, ready Event) { w.ready(t, r, ready) }); err != nil {
					t.Fatal(err)
				}
				s.all = append(s.all, w)
			}
			spots[i] = s
		}
		rounds := func(spots []*spot, stream uint64, wait func(<-chan bool)) {
			rng := rand.New(rand.NewPCG(seed, stream))
			for range 2 {
				for _, i := range rng.Perm(len(spots)) {
					if spots[i].round(t, m, rng, wait); t.Failed() {
						return
					}
				}
			}
		}
		if m.shared {
			const hands = 4
			var wg sync.WaitGroup
			for i := range hands {
				wg.Go(func() {
					rounds(spots[i*n/hands:(i+1)*n/hands], uint64(i), func(heard <-chan bool) {
						select {
						case <-heard:
						case <-time.After(patience.Limit):
							t.Errorf("a signal was lost: %+v", m.Stats())
						}
					})
				})
			}
			wg.Wait()
		} else {
			rounds(spots, 0, func(heard <-chan bool) { receive(t, m, heard) })
		}
		calls, live := int64(0), 0
		for _, s := range spots {
			for _, w := range s.all {
				calls += w.calls.Load()
				if w.live {
					live++
				}
			}
		}
		t.Logf("%d registrations on %d handles, %d calls, %d go on", n*each, n, calls, live)
		if err := patience.Until(func() error { // those that were called last may not have returned
			if s := m.Stats(); s.InFlight < int64(live) {
				return fmt.Errorf("%d registrations are not waited for", int64(live)-s.InFlight)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for _, s := range spots {
			for _, w := range s.all {
				w.closed.Store(true)
				isOver(t, w.r, w.r.Err())
			}
		}
	})
}

// oneByOne is a persistent registration, and what has it called once.
func oneByOne(t testing.TB, m *Manager) (next func(), r *Registration) {
	t.Helper()
	s := openSignal(t)
	heard := make(chan bool, 1)
	r, err := m.Watch(s.h, Signalled, Persistent, func(*Registration, Event) {
		s.mustClear(t)
		heard <- true
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		s.mustSet(t)
		for done := false; !done; {
			if m.shared {
				done = <-heard
				continue
			}
			if _, err := m.Step(-1); err != nil {
				t.Fatal(err)
			}
			done = len(heard) > 0 && <-heard
		}
	}, r
}

func TestNoAllocations_Watch(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.MinWorkers, c.MaxWorkers = 16, 16 // on a busy machine the worker of the call before may be slow to come back: those that stand in for it stay
		next, r := oneByOne(t, open(t, c))
		mustNotAllocate(t, "an event", 1, next)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkWatch is one event after the other on one persistent registration.
func BenchmarkWatch(b *testing.B) {
	for _, name := range backendsHere(b) {
		for _, callerDriven := range []bool{false, true} {
			b.Run(name+"/"+modeName(callerDriven), func(b *testing.B) {
				next, r := oneByOne(b, open(b, Config{Backend: name, CallerDriven: callerDriven}))
				b.ReportAllocs()
				for b.Loop() {
					next()
				}
				if err := r.Close(); err != nil {
					b.Error(err)
				}
			})
		}
	}
}
