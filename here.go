package ringport

import (
	"context"
	"sync/atomic"

	"github.com/ringport/ringport/internal/driver"
)

// Some operations are run on the goroutine that waits for them, since handing them over can only lose (docs/decisions.md).
// They are such as end by themselves, which no backend can cancel once they have begun, and their context cannot end.

// doHere runs op, on a regular file, if it is the only one that is waiting for a regular file now: nobody could be woken sooner.
// If it reports false, the caller leaves the crowd m.here when it is done.
func (m *Manager) doHere(op *Op) bool {
	if m.here.Add(1) != 1 {
		return false
	}
	m.runHere(op)
	m.leaveCrowd(&m.here)
	return true
}

// leaveCrowd takes the caller out of m.here or m.syncing, and has a Close under way look again. Who is in one of them and has then found
// the manager open may use the driver: Close sets its bit first and looks at them afterwards. That is an atomic operation less than hold
// and leave, which took 30 of the 700 ns of a write to the page cache.
func (m *Manager) leaveCrowd(crowd *atomic.Int64) {
	if crowd.Add(-1); m.live.Load()&closedBit != 0 {
		m.lookAgain()
	}
}

// runHere makes op's system call and claims its result.
func (m *Manager) runHere(op *Op) {
	m.drv.Here(&op.req)
	m.count(&m.counters.inline[op.req.Kind])
	m.claim(op)
}

// doChainHere runs a chain that ends with a sync, such as an append to a log. A sync keeps a thread busy on every backend, and
// the caller's is as good as any.
func (m *Manager) doChainHere(ctx context.Context, ops []*Op) (done bool, err error) {
	if !m.shared || ctx.Done() != nil || !syncs(ops[len(ops)-1]) {
		return false, nil
	}
	for _, op := range ops {
		r := &op.req
		if _, registered := r.FD.Registered(); registered { // known to the backend alone
			return false, nil
		}
		if !syncs(op) && r.Flags&driver.Regular == 0 && !(r.Kind.Transfers() && isRegular(r.FD)) {
			return false, nil
		}
	}
	defer m.leaveCrowd(&m.syncing)
	if m.syncing.Add(1) > int64(m.config.MaxThreads) {
		return false, nil
	}
	if err := m.beginAll(ops); err != nil {
		return true, err
	}
	if m.observed() {
		m.observeChain(ctx, ops, false)
	}
	broken := false
	for _, op := range ops {
		if broken = broken || op.req.Asked.Load() || m.closing(); broken {
			op.req.Err = driver.ErrCanceled
			m.claim(op)
			continue
		}
		m.drv.Here(&op.req)
		broken = !whole(&op.req)
		m.count(&m.counters.inline[op.req.Kind])
		m.claim(op)
	}
	return true, chainDone(ops)
}

func syncs(op *Op) bool { return op.req.Kind == driver.Fsync || op.req.Kind == driver.Fdatasync }
