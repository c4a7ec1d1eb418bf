package ringport

import (
	"context"
	"runtime/trace"
	"slices"
	"sync"

	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/driver"
)

// chain is a batch of linked operations. Where the driver links them (io_uring) it only counts down; otherwise the manager
// runs it: each operation is submitted when the one before it has succeeded in full. Once started, only the loop touches it.
type chain struct {
	ops  []*Op
	reqs []*driver.Request
	left int     // not yet done
	next int     // the one to submit next; len(ops) where the driver links
	w    *waiter // DoChain's, or nil
}

var chains = sync.Pool{New: func() any { return new(chain) }}

// StartChain starts ops as one chain: each begins when the one before it has succeeded in full. After a failure, a short
// transfer or a cancel the rest are not carried out and end with ErrCanceled. F is called for each when it is done. An error
// means that none was started.
func (m *Manager) StartChain(f func(op *Op), ops ...*Op) error {
	if f == nil {
		return (&Op{}).fail(ErrNilCallback)
	}
	return m.startChain(context.Background(), f, nil, ops)
}

// DoChain starts ops as one chain, see [Manager.StartChain], and waits for all. It returns the first error of the chain. A short
// transfer has none itself, but those after it have ErrCanceled, though no context ended: [Op.Result] shows what broke the chain. No
// ops are no error. When ctx ends, the chain is cancelled.
func (m *Manager) DoChain(ctx context.Context, ops ...*Op) error {
	if len(ops) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return ops[0].fail(ctxend.Cause(ctx))
	}
	if trace.IsEnabled() {
		defer trace.StartRegion(ctx, regionName("chain")).End()
	}
	if done, err := m.doChainHere(ctx, ops); done {
		return err
	}
	if err := m.own(); err != nil {
		return ops[0].fail(err)
	}
	w := m.calls.Get().(*waiter)
	if err := m.startChain(ctx, nil, w, ops); err != nil {
		m.calls.Put(w)
		return err
	}
	if !m.shared {
		for i, op := range ops {
			if err := m.stepUntil(ctx, op, ops[i+1:]...); err != nil {
				return err
			}
		}
		<-w.ch
	} else if done := ctx.Done(); done == nil {
		<-w.ch
	} else {
		select {
		case <-w.ch:
		case <-done:
			cause := ctxend.Cause(ctx)
			for _, op := range slices.Backward(ops) { // the first to end ends those after it, which must know why by then
				m.cancelFor(op, cause)
			}
			<-w.ch
		}
	}
	m.calls.Put(w)
	return chainDone(ops)
}

// chainDone ends a chain that was waited for, and returns its first error.
func chainDone(ops []*Op) (first error) {
	for _, op := range ops {
		if s := op.span.Load(); s != nil {
			s.end()
		}
		if _, err := op.Result(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// beginAll begins all of ops or none.
func (m *Manager) beginAll(ops []*Op) error {
	for i, op := range ops {
		err := m.begin(op)
		if err == nil && op.multi != nil {
			m.abandon(op)
			err = op.fail(ErrMultishot)
		}
		if err != nil {
			for _, begun := range ops[:i] {
				m.abandon(begun)
			}
			return err
		}
	}
	return nil
}

func (m *Manager) startChain(ctx context.Context, f func(op *Op), w *waiter, ops []*Op) error {
	if len(ops) == 0 {
		return nil
	}
	if err := m.beginAll(ops); err != nil {
		return err
	}
	if m.observed() {
		m.observeChain(ctx, ops, f != nil)
	}
	c := chains.Get().(*chain)
	c.ops, c.reqs = append(c.ops[:0], ops...), c.reqs[:0]
	c.left, c.next, c.w = len(ops), len(ops), w
	for _, op := range ops {
		op.chain, op.callback, op.waiter = c, f, nil
		op.req.Flags &^= driver.Inline
		c.reqs = append(c.reqs, &op.req)
	}
	if len(ops) > 1 && m.drv.SubmitChain(c.reqs) {
		m.cancelLate()
		return nil
	}
	c.next = 1
	m.queue(ops[0])
	return nil
}

// follow is what the end of op means for its chain. It returns the next operation if that is back already.
func (m *Manager) follow(c *chain, succeeded bool) *Op {
	c.left--
	if c.next < len(c.ops) {
		op := c.ops[c.next]
		c.next++
		if !succeeded || m.closing() {
			op.req.Err = driver.ErrCanceled
			return op
		}
		if m.drv.Submit(&op.req) {
			return op
		}
		m.cancelLate()
	} else if c.left == 0 {
		w := c.w
		clear(c.ops)
		clear(c.reqs)
		c.w = nil
		chains.Put(c)
		if w != nil {
			w.ch <- struct{}{}
		}
	}
	return nil
}

// whole reports whether an operation did all that was asked, so that its chain goes on.
func whole(r *driver.Request) bool {
	return r.Err == nil && (!r.Kind.Transfers() || r.N == r.Wanted()) && (r.Kind != driver.Splice || int64(r.N) == r.Len)
}
