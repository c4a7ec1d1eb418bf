package ringport

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/ringport/ringport/internal/arrival"
	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/driver"
)

// Manager starts operations on handles and delivers each completion exactly once. There are two ways to drive it, chosen by
// [Config].CallerDriven:
//
// Threaded: workers of its own wait for completions and run callbacks. Every method may be called from any goroutine.
//
// Caller-driven: no goroutine, no lock. One goroutine owns the manager: the one that first starts an operation or calls
// Step, which stays locked to its thread until Close. It alone calls the methods, all but Wake, which is anybody's. Start
// only queues; Step submits what is queued, waits, and runs callbacks and timeouts.
type Manager struct {
	drv    driver.Driver
	why    string
	config Config
	shared bool // threaded

	live     atomic.Int64 // operations accepted and not yet claimed, plus closedBit
	drained  chan struct{}
	counters counters
	ofFiles  atomic.Int64 // operations that File carried out by itself, as far as its files have reported them
	here     atomic.Int64 // Do calls on regular files
	syncing  atomic.Int64 // syncs and chains that run on their callers' goroutines

	timeouts timeouts
	watches  watches
	arrivals arrival.Poller // threaded: of sockets that are read
	workers  workers        // threaded
	loop     loopState      // caller-driven: the owner's

	ready  readyList // threaded: operations done inline whose callback is the loop's to run
	posted posted
	calls  sync.Pool // *waiter
}

// closedBit in Manager.live: no new operation is accepted.
const closedBit = int64(1) << 62

// New makes a manager. Errors: *ConfigError for a configuration (or environment variable) that cannot be, *UnavailableError
// for a backend asked for by name that this system does not have, else the system's own, EMFILE for instance. Without a
// backend by name, one that is not permitted or not supported falls back to the next; Stats says why.
func New(config Config) (*Manager, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	drv, why, err := openDriver(&config)
	if err != nil {
		return nil, err
	}
	m := &Manager{drv: drv, why: why, config: config, shared: !config.CallerDriven, drained: make(chan struct{}, 1)}
	m.calls.New = func() any { return &waiter{make(chan struct{}, 1)} }
	m.timeouts.init(m)
	if m.shared {
		m.workers.start(m)
	} else {
		m.loop.init()
	}
	m.event("opened", slog.String("backend", drv.Name()), slog.String("why", why), slog.Bool("callerDriven", config.CallerDriven))
	return m, nil
}

var defaultManager = sync.OnceValues(func() (*Manager, error) { return New(Config{}) })

// Default returns the process-wide manager, a threaded one, made on first use. It is never closed. Where none can be made,
// which takes an exhausted descriptor table or a wrong RINGPORT_BACKEND, the error says why.
func Default() (*Manager, error) { return defaultManager() }

// CallerDriven reports whether the manager is a caller-driven one, see [Config].
func (m *Manager) CallerDriven() bool { return !m.shared }

// begin makes op this manager's, or says why it cannot be started.
func (m *Manager) begin(op *Op) error {
	if err := op.check(m); err != nil {
		return op.fail(err)
	}
	if m.shared {
		if m.live.Add(1)&closedBit != 0 {
			m.leave()
			return op.fail(ErrManagerClosed)
		}
		if s := atomic.LoadUint32(&op.state); s == opActive || s == opOwed || !atomic.CompareAndSwapUint32(&op.state, s, opActive) {
			m.leave()
			return op.fail(ErrInFlight)
		}
	} else {
		if m.loop.closed {
			return op.fail(ErrManagerClosed)
		}
		if op.state == opActive || op.state == opOwed {
			return op.fail(ErrInFlight)
		}
		op.state = opActive
		m.loop.live++
	}
	if op.req.Kind == driver.Close {
		m.watches.closed(op.req.FD)
	}
	op.waiter, op.callback, op.chain = nil, nil, nil
	if op.multi != nil {
		op.multi.begin(op)
	}
	if op.req.Asked.Load() || op.cause.Load() != nil { // Close gives a cause without being asked to cancel
		op.req.Asked.Store(false)
		op.cause.Store(nil)
	}
	op.req.Owner = op
	op.req.Reset()
	m.count(&m.counters.started[op.req.Kind])
	return nil
}

// leave takes one operation out of live (threaded), and tells Close when it was the last.
func (m *Manager) leave() {
	if m.live.Add(-1) == closedBit {
		m.lookAgain()
	}
}

// lookAgain tells Close that what it waits for may have come true.
func (m *Manager) lookAgain() {
	select {
	case m.drained <- struct{}{}:
	default: // it has yet to see what the last one told it
	}
}

// abandon undoes begin.
func (m *Manager) abandon(op *Op) {
	if s := op.span.Load(); s != nil {
		s.end()
	}
	if m.shared {
		atomic.AddInt64(&m.counters.started[op.req.Kind], -1)
		atomic.StoreUint32(&op.state, opIdle)
		m.leave()
		return
	}
	m.counters.started[op.req.Kind]--
	op.state = opIdle
	m.loop.live--
}

// deliver makes op done and tells whoever waits for it: a goroutine in Do at once, a callback by putting op into calls.
func (m *Manager) deliver(op *Op, calls *fifo[*Op]) {
	if op.multi != nil {
		m.deliverShots(op, calls)
		return
	}
	for op != nil {
		// Once claimed, an operation without a callback may be started again, and have one.
		w, c, owed, succeeded := op.waiter, op.chain, op.callback != nil, op.chain != nil && whole(&op.req)
		if !m.claim(op) {
			return
		}
		if owed {
			calls.push(op)
		} else if w != nil {
			w.ch <- struct{}{} // from here on op is not ours
		}
		if op = nil; c != nil {
			op = m.follow(c, succeeded)
		}
	}
}

// claim makes op done, once: false if somebody else did. From then on op may be started again by whoever waits for it; but not
// before its callback, if it has one, is called.
func (m *Manager) claim(op *Op) bool {
	k := op.req.Kind
	if err := op.req.Err; err != nil {
		if err == driver.ErrCanceled {
			if m.closing() {
				op.cause.CompareAndSwap(nil, &ErrManagerClosed)
			}
			m.count(&m.counters.canceled[k])
		} else {
			m.count(&m.counters.failed[k])
		}
	}
	m.count(&m.counters.completed[k])
	state := opDone
	if op.callback != nil {
		state = opOwed
	}
	if !m.shared {
		op.state = state
		m.loop.live--
		return true
	}
	if !atomic.CompareAndSwapUint32(&op.state, opActive, state) {
		return false
	}
	m.leave()
	return true
}

// callBack calls the callback of an operation that has been claimed.
func (m *Manager) callBack(op *Op) {
	if op.multi != nil {
		m.callShots(op)
		return
	}
	f := op.callback
	if s := op.span.Load(); s != nil {
		s.end()
		m.done(op)
		s.call(f, op)
		return
	}
	m.done(op)
	f(op)
}

// done makes an operation that was owed a callback one that can be started again.
func (m *Manager) done(op *Op) {
	if m.shared {
		atomic.StoreUint32(&op.state, opDone)
	} else {
		op.state = opDone
	}
}

// Do starts op and waits until it is done. The result is op's, see [Op.Result]. When ctx ends, the operation is cancelled,
// and Do waits for what became of it: data that moved is returned; otherwise the error wraps both ctx.Err() and context.Cause(ctx).
// With a context that is over already nothing is started. A callback that panics or calls runtime.Goexit while a caller-driven manager's
// owner is in Do ends that too: op is cancelled, and back after a later Step.
func (m *Manager) Do(ctx context.Context, op *Op) (int, error) {
	if ctx.Err() != nil {
		return 0, op.fail(ctxend.Cause(ctx))
	}
	if err := m.own(); err != nil {
		return 0, op.fail(err)
	}
	if op.multi != nil {
		return 0, op.fail(ErrMultishot)
	}
	if err := m.begin(op); err != nil {
		return 0, err
	}
	if m.observed() {
		defer m.observe(ctx, op, true).end()
	}
	if m.shared && op.req.Flags&driver.Regular != 0 && ctx.Done() == nil {
		if m.doHere(op) {
			return op.Result()
		}
		defer m.leaveCrowd(&m.here)
	}
	return m.run(ctx, op)
}

// run is the rest of Do, for an operation that has begun.
func (m *Manager) run(ctx context.Context, op *Op) (int, error) {
	if !m.shared {
		m.queue(op)
		if err := m.stepUntil(ctx, op); err != nil {
			return 0, err
		}
		return op.Result()
	}
	w := m.calls.Get().(*waiter)
	op.waiter = w
	op.req.Flags |= driver.Inline
	if m.submit(op) {
		op.waiter = nil
		m.count(&m.counters.inline[op.req.Kind])
		m.claim(op)
	} else {
		m.await(ctx, op, w)
	}
	m.calls.Put(w)
	return op.Result()
}

// await sleeps until w is signalled, and cancels op when ctx ends first.
func (m *Manager) await(ctx context.Context, op *Op, w *waiter) {
	m.cancelLate()
	done := ctx.Done()
	if done == nil {
		<-w.ch
		return
	}
	select {
	case <-w.ch:
	case <-done:
		m.cancelFor(op, ctxend.Cause(ctx))
		<-w.ch
	}
}

// Start starts op and returns. When it is done, f is called with it, once: on a worker's goroutine (threaded), where it may
// block, or from Step (caller-driven). It may start, cancel and close anything, op included. An error means that op was not
// started and f will not be called.
func (m *Manager) Start(op *Op, f func(op *Op)) error {
	if err := m.prepare(op, f); err != nil {
		return err
	}
	m.queue(op)
	return nil
}

// prepare is Start but for the last step, queue.
func (m *Manager) prepare(op *Op, f func(op *Op)) error {
	if f == nil {
		return op.fail(ErrNilCallback)
	}
	if err := m.begin(op); err != nil {
		return err
	}
	op.callback = f
	if m.observed() {
		m.observeTask(op)
	}
	return nil
}

// queue hands op, which has a callback or is stepped for, to the driver.
func (m *Manager) queue(op *Op) {
	op.req.Flags &^= driver.Inline
	if m.submit(op) {
		m.count(&m.counters.inline[op.req.Kind])
		m.finishInline(op)
		return
	}
	if m.shared {
		m.cancelLate()
	}
}

// submit is Driver.Submit. A function of the user's in a Raw request may not return from it, but panic; then neither op nor what follows it
// in its chain has begun.
func (m *Manager) submit(op *Op) (done bool) {
	if op.req.Kind != driver.Raw {
		return m.drv.Submit(&op.req)
	}
	returned := false
	defer func() {
		switch {
		case returned:
		case op.chain != nil:
			for _, op := range op.chain.ops {
				m.abandon(op)
			}
		default:
			m.abandon(op)
		}
	}()
	done = m.drv.Submit(&op.req)
	returned = true
	return done
}

// cancelLate passes on a Close that came while an operation was submitted and so may not have found it: either Close sees it
// in the driver, or this sees Close. The operation itself may be back by now, and is not touched.
func (m *Manager) cancelLate() {
	if m.live.Load()&closedBit != 0 && m.hold() {
		m.drv.CancelAll()
		m.leave()
	}
}

// hold keeps a Close under way from releasing the driver until leave (threaded). It reports false if it is too late for that.
func (m *Manager) hold() bool {
	for {
		v := m.live.Load()
		if v == closedBit {
			return false
		}
		if m.live.CompareAndSwap(v, v+1) {
			return true
		}
	}
}

// closing reports whether Close was called.
func (m *Manager) closing() bool { return m.live.Load()&closedBit != 0 || !m.shared && m.loop.closed }

// finishInline leaves an operation that is back already to the loop: its callback never runs inside the caller's stack.
func (m *Manager) finishInline(op *Op) {
	if !m.shared {
		m.loop.inline.push(op)
		return
	}
	m.ready.push(op)
	if m.hold() { // op may be delivered already, and the manager closed
		m.drv.Wake()
		m.leave()
	}
}

// Cancel asks that op end soon. Its result still comes through Do or the callback: what it did if it did something, else an
// error that wraps ErrCanceled. Cancelling an operation that is not in flight does nothing. One of a chain ends those after
// it as well.
func (m *Manager) Cancel(op *Op) { m.cancelFor(op, ErrCanceled) }

func (m *Manager) cancel(op *Op, cause error) {
	if atomic.LoadUint32(&op.state) != opActive {
		return
	}
	op.ask(cause)
	m.drv.Cancel(&op.req)
}

// Flush submits what earlier Starts queued, without waiting for anything. Only a caller-driven manager queues; its Step
// flushes too.
func (m *Manager) Flush() error { return m.ownerError(m.guard(m.drv.Flush)) }

// Wake makes the loop look again: the current Step, or else the next, returns; a threaded manager's worker goes once round.
// It may be called from any goroutine in both modes, and after Close, when it does nothing.
func (m *Manager) Wake() {
	m.counters.wakes.Add(1)
	m.loop.woken.Store(true)
	m.poke()
}

// poke wakes the loop without counting it as the user's.
func (m *Manager) poke() {
	if m.live.Add(1)&closedBit == 0 { // keeps Close from releasing the driver under us
		m.drv.Wake()
	}
	m.leave()
}

// Attach makes a handle that was opened elsewhere ready for operations, or says why it cannot be. On Unix every open
// descriptor is; on Windows it binds the handle to the completion port. Operations work on a handle that can't be attached as well
// ([ErrNotOverlapped], [ErrOtherPort]): a thread waits for each. [Manager.NewFile] and [Manager.OpenFile] attach by
// themselves. Close an attached handle with [CloseHandle], or Detach it first: it is remembered under its number, and an operation on the
// next handle that gets the number may else wait until it is cancelled. Detach undoes it where the system can.
func (m *Manager) Attach(h Handle) error { return m.onHandle("attach", h, m.attach) }

// attach is Attach with the driver's own error. Close is kept from releasing the driver.
func (m *Manager) attach(h Handle) error {
	err := m.drv.Attach(h)
	if err != nil {
		m.event("attach refused", slog.Uint64("handle", uint64(h)), slog.Any("err", err))
	}
	return err
}

// Detach ends what Attach began. The handle must have nothing in flight.
func (m *Manager) Detach(h Handle) error { return m.onHandle("detach", h, m.drv.Detach) }

func (m *Manager) onHandle(what string, h Handle, f func(Handle) error) error {
	err := m.guard(func() error { return f(h) })
	if err != nil {
		op := Op{req: driver.Request{FD: h}}
		return &OpError{Op: what, Name: op.displayName(), Err: err}
	}
	return nil
}

// RegisterBuffers gives the system buffers to keep mapped, for [ReadFixed] and [WriteFixed], which name them by index; nil
// takes them back. Nothing may be in flight on earlier ones. They count against the memlock limit (ENOMEM). See
// io_uring_register(2); backends without such a call just remember them.
func (m *Manager) RegisterBuffers(bufs [][]byte) error {
	return m.register("register buffers", func() error { return m.drv.RegisterBuffers(bufs) })
}

// RegisterFiles gives the system handles to keep open under an index, for [RegisteredFile]; nil takes them back. Closing the
// originals does not affect them. ^Handle(0) leaves a place empty. What is in flight goes on with the file that it began with. When it
// fails, the earlier ones may or may not be registered still. See io_uring_register(2).
func (m *Manager) RegisterFiles(hs []Handle) error {
	return m.register("register files", func() error { return m.drv.RegisterFiles(hs) })
}

func (m *Manager) register(what string, f func() error) error {
	if err := m.guard(f); err != nil {
		return &OpError{Op: what, Name: m.drv.Name(), Err: m.ownerError(err)}
	}
	return nil
}

// guard runs f while the manager cannot be closed.
func (m *Manager) guard(f func() error) error {
	if m.live.Add(1)&closedBit != 0 {
		m.leave()
		return ErrManagerClosed
	}
	defer m.leave()
	return f()
}

// Pollable returns a descriptor that polls readable (Windows: a handle that is signaled, see WaitForMultipleObjects) while Step has
// something to do other than timeouts (see NextTimeout), to wait on in a foreign event loop: flush, wait for the descriptor or the
// next timeout, step with a timeout of 0. ok is false on a threaded manager and on backends without one.
func (m *Manager) Pollable() (h Handle, ok bool) {
	if m.shared || m.loop.closed {
		return 0, false
	}
	return m.drv.Pollable()
}

// Close cancels everything in flight, waits for it, lets the last callbacks run, ends the workers and releases the ring or
// pool. Pending timeouts never fire, and console events
// are handled no more. A second Close returns ErrManagerClosed. In a callback it does all of that but wait
// for that very callback.
func (m *Manager) Close() error {
	if !m.shared {
		return m.closeOwned()
	}
	for {
		v := m.live.Load()
		if v&closedBit != 0 {
			return ErrManagerClosed
		}
		if m.live.CompareAndSwap(v, v|closedBit) {
			break
		}
	}
	m.closeBegins()
	m.timeouts.stopAll()
	consoles.end(m)
	m.drv.CancelAll()                // what reaches the driver later is cancelled by cancelLate
	m.arrivals.End(ErrManagerClosed) // who begins to wait later sees the bit
	m.workers.fillIn(m)
	for m.live.Load() != closedBit || m.here.Load() != 0 || m.syncing.Load() != 0 {
		<-m.drained
	}
	m.event("close: operations are over")
	m.workers.stop(m)
	return m.release()
}

// release ends Close.
func (m *Manager) release() error {
	m.arrivals.Close()
	err := m.drv.Close()
	m.event("closed")
	return err
}

// own makes the calling goroutine the owner of a caller-driven manager, or says that another is: nothing may be started that only
// the owner could wait for.
func (m *Manager) own() error {
	if m.shared || m.loop.closed {
		return nil
	}
	return m.ownerError(m.drv.Own())
}

func (m *Manager) ownerError(err error) error {
	if errors.Is(err, driver.ErrNotOwner) {
		return ErrNotOwner
	}
	return err
}
