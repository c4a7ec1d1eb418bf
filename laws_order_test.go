package ringport

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// An operation is in flight until its callback has begun: a Start before that is refused, or else both callbacks would be one.
func TestLaw1_StartBeforeTheCallback(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		op := Nop()
		var accepted, ran [2]atomic.Int64
		var all sync.WaitGroup
		for range 20_000 {
			for i := range accepted {
				all.Add(1)
				err := m.Start(&op, func(*Op) { ran[i].Add(1); all.Done() })
				if err == nil {
					accepted[i].Add(1)
				} else if all.Done(); !errors.Is(err, ErrInFlight) {
					t.Fatal(err)
				}
			}
		}
		within(t, all.Wait)
		for i := range accepted {
			if accepted[i].Load() != ran[i].Load() {
				t.Errorf("callback %d: %d starts, %d calls", i, accepted[i].Load(), ran[i].Load())
			}
		}
	})
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		a, b := Nop(), Nop()
		calls, others := 0, 0
		if err := m.StartChain(func(op *Op) {
			if calls++; op == &a {
				if err := m.Start(&b, func(*Op) { others++ }); !errors.Is(err, ErrInFlight) {
					t.Errorf("Start of an operation whose callback is owed: %v", err)
				}
			}
		}, &a, &b); err != nil {
			t.Fatal(err)
		}
		for calls < 2 {
			if _, err := m.Step(-1); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Step(0); err != nil || calls != 2 || others != 0 {
			t.Errorf("%d calls, %d of the other, %v", calls, others, err)
		}
	})
}

// within fails the test if f takes longer than what must happen may.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience.Limit):
		t.Fatal("it does not happen")
	}
}

// What is refused because its caller is not the owner is not carried out later.
func TestLaw2_DoOfAStranger(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		if c.Backend != BackendIOUring {
			return // cannot tell, see ErrNotOwner
		}
		m := open(t, c)
		if _, err := m.Step(0); err != nil {
			t.Fatal(err)
		}
		h := Handle(tempFile(t, m, []byte("12345678")).Fd())
		buf := make([]byte, 8)
		op, first, second := Read(h, buf, 0), Read(h, buf, 0), Nop()
		errs := make(chan error)
		go func() {
			_, err := m.Do(context.Background(), &op)
			errs <- err
			errs <- m.DoChain(context.Background(), &first, &second)
		}()
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrNotOwner) {
				t.Errorf("not refused: %v", err)
			}
		}
		for range 3 {
			if ran, err := m.Step(0); ran != 0 || err != nil {
				t.Errorf("Step ran %d, %v", ran, err)
			}
			if err := m.DoChain(context.Background(), &first, &second); err != nil {
				t.Error(err)
			}
		}
		if n := m.Stats().Completed; n != 6 {
			t.Errorf("%d operations were carried out", n)
		}
	})
}

// Those whose turn has not come in an append that runs on its caller's goroutine are cancelled like any.
func TestLaw3_CancelInAChainHere(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		h := Handle(tempFile(t, m, nil).Fd())
		if err := patience.Until(func() error {
			ops := []Op{Write(h, make([]byte, 16<<20), 0), Fdatasync(h), Write(h, []byte("late"), 32<<20), Fdatasync(h)}
			done := make(chan error)
			go func() { done <- m.DoChain(context.Background(), &ops[0], &ops[1], &ops[2], &ops[3]) }()
			for {
				m.Cancel(&ops[2])
				select {
				case err := <-done:
					if err == nil {
						return errors.New("never cancelled") // so far: the chain may have had the processor, from its start to its end
					}
					if _, late := ops[3].Result(); !errors.Is(err, ErrCanceled) || !errors.Is(late, ErrCanceled) {
						t.Errorf("%v; the last: %v", err, late)
					}
					return nil
				default:
				}
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

// When Close returns in a callback, no other callback and no timeout is still to come.
func TestLaw4_CloseInACallbackIsTheLast(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		a, b := Nop(), Nop()
		closed, calls, after := false, 0, 0
		if err := m.StartChain(func(op *Op) {
			if calls++; closed {
				after++
			}
			if op == &a {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
				closed = true
			}
		}, &a, &b); err != nil {
			t.Fatal(err)
		}
		for !closed {
			if _, err := m.Step(-1); err != nil {
				t.Fatal(err)
			}
		}
		if calls != 2 || after != 0 {
			t.Errorf("%d callbacks, %d after Close", calls, after)
		}

		m = open(t, c)
		fired := 0
		for range 2 { // whichever is first
			m.AfterFunc(0, func() {
				if fired++; fired == 1 {
					if err := m.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		if ran, err := m.Step(-1); ran != 1 || err != nil || fired != 1 {
			t.Errorf("Step ran %d, %v; %d timeouts fired", ran, err, fired)
		}
	})
}

// What makes more work of itself for ever leaves time for the rest, with a single worker too.
func TestLaw5_NobodyStarves(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		c.MaxWorkers = 1
		m := open(t, c)
		h := Handle(tempFile(t, m, make([]byte, 4096)).Fd())
		var stop atomic.Bool
		defer stop.Store(true)
		armed := make(chan struct{})
		var timeout *Timeout
		timeout = m.AfterFunc(time.Hour, func() {
			if <-armed; !stop.Load() {
				timeout.Reset(0)
			}
		})
		timeout.Reset(0)
		close(armed)
		op := Read(h, make([]byte, 4096), 0) // cached: back at once where the backend can
		var again func(op *Op)
		again = func(op *Op) {
			if !stop.Load() {
				if err := m.Start(op, again); err != nil {
					t.Error(err)
				}
			}
		}
		if err := m.Start(&op, again); err != nil {
			t.Fatal(err)
		}
		r, w := pipe(t, m)
		read := Read(r, make([]byte, 1), CurrentOffset)
		ch := start(t, m, &read)
		put(t, w, "x")
		if res := receive(t, m, ch); res != (result{1, nil}) {
			t.Errorf("%+v", res)
		}
	})
}

// While all workers are in callbacks nothing is delivered, but what is started begins.
func TestLaw5_StartsWhileAllWorkersAreBusy(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		c.MaxWorkers = 1
		m := open(t, c)
		for range 20 {
			r1, w1 := pipe(t, m)
			release, busy := make(chan struct{}), make(chan struct{}, 2)
			var polls [2]Op // back in one batch
			for i := range polls {
				polls[i] = PollReady(r1, PollIn)
				if err := m.Start(&polls[i], func(*Op) {
					busy <- struct{}{}
					<-release
				}); err != nil {
					t.Fatal(err)
				}
			}
			put(t, w1, "x")
			<-busy
			r2, w2 := pipe(t, m)
			write := Write(w2, []byte("y"), CurrentOffset)
			ch := start(t, m, &write)
			one := Read(r2, make([]byte, 1), CurrentOffset)
			within(t, func() {
				other, err := New(Config{})
				if err != nil {
					t.Error(err)
					return
				}
				defer other.Close()
				if _, err := other.Do(context.Background(), &one); err != nil {
					t.Error(err)
				}
			})
			close(release)
			<-busy
			if res := receive(t, m, ch); res != (result{1, nil}) {
				t.Errorf("%+v", res)
			}
		}
	})
}
