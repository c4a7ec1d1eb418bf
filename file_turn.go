package ringport

import (
	"sync/atomic"

	"github.com/ringport/ringport/internal/ctxend"
)

// turn is a lock whose waiters can be ended. It is free, taken, or taken and waited for.
type turn struct{ state atomic.Uint32 }

const (
	turnFree uint32 = iota
	turnTaken
	turnWanted
)

// take takes a free turn; otherwise it marks it as waited for. The caller holds file.mu, and will wait.
func (t *turn) take() bool {
	for {
		if t.state.CompareAndSwap(turnFree, turnTaken) {
			return true
		}
		if t.state.Load() == turnWanted || t.state.CompareAndSwap(turnTaken, turnWanted) {
			return false
		}
	}
}

// turnOf is what a call takes turns for. A regular file's position is one for both ways; all else is read and written at once,
// devices with a position too, since a read of them may wait for a write.
func (f *file) turnOf(w way) *turn {
	if f.regular || w == neither {
		return &f.turns[0]
	}
	return &f.turns[w]
}

// takeTurn waits for the turn, until the file is closed, the deadline of w passes or the view's context ends. A caller-driven
// manager has one goroutine: there is nobody to wait for but itself, so there are no turns.
func (f *File) takeTurn(op string, t *turn, w way) error {
	if t.state.CompareAndSwap(turnFree, turnTaken) || !f.m.shared {
		return nil
	}
	c := fileCalls.Get().(*call)
	defer c.free()
	f.mu.Lock()
	err := f.refusal(w)
	if err != nil || t.take() {
		f.mu.Unlock()
		if err != nil {
			return f.failed(op, err)
		}
		return nil
	}
	c.way, c.turn = w, t
	f.calls.push(c)
	f.mu.Unlock()
	ctx := f.context()
	select {
	case err = <-c.granted:
	case <-ctx.Done():
		f.mu.Lock()
		if c.turn != nil {
			f.calls.grant(c, ctxend.Cause(ctx))
		}
		f.mu.Unlock()
		err = <-c.granted // the turn, if that was faster: what comes next looks at the context
	}
	if err != nil {
		return f.failed(op, err)
	}
	return nil
}

// passTurn gives the turn to whoever has waited longest for it.
func (f *file) passTurn(t *turn) {
	if !f.m.shared {
		t.state.Store(turnFree)
		return
	}
	if t.state.CompareAndSwap(turnTaken, turnFree) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := f.calls.first; c != nil; c = c.next {
		if c.turn == t {
			f.calls.grant(c, nil)
			return
		}
	}
	t.state.Store(turnFree)
}
