package ringport

import (
	"context"
	"log/slog"
	"runtime/trace"
	"sync/atomic"
	"time"

	"github.com/ringport/ringport/internal/clock"
)

// LevelOperation is the level at which [Config].Logger gets single operations. It is below slog.LevelDebug, at which it gets what happens to
// the manager as a whole.
const LevelOperation = slog.LevelDebug - 4

// event tells the logger what has happened to the manager. Here and in log no lock is held, since the logger's handler is the user's.
func (m *Manager) event(what string, attrs ...slog.Attr) {
	if l := m.config.Logger; l != nil {
		l.LogAttrs(context.Background(), slog.LevelDebug, what, attrs...)
	}
}

// closeBegins is the event of Close that says what it has to wait for.
func (m *Manager) closeBegins() {
	if l := m.config.Logger; l != nil && l.Enabled(context.Background(), slog.LevelDebug) {
		m.event("close: begun", slog.Any("inFlight", m.Stats().InFlightByKind))
	}
}

// observed reports whether somebody wants to know of single operations.
func (m *Manager) observed() bool {
	return trace.IsEnabled() || m.config.Logger != nil && m.logsOperations()
}

// logsOperations is not inlined, so that observed is.
//
//go:noinline
func (m *Manager) logsOperations() bool {
	return m.config.Logger.Enabled(context.Background(), LevelOperation)
}

// span is the life of an operation that was observed when it began, until whoever started it is to know that it is over. It is not changed.
type span struct {
	m      *Manager
	op     *Op
	id     uint64 // tells this life of the operation from others in the log
	what   string // "read", …
	name   string // of the file or handle
	began  int64  // by the clock
	ctx    context.Context
	region *trace.Region // of the goroutine that waits, and ends the span; nil: none does
	task   *trace.Task   // of an operation with a callback
}

var lastSpan atomic.Uint64

// observe begins a span of op, which has begun, for a caller that waits, in a region of its own unless it is one of a chain.
func (m *Manager) observe(ctx context.Context, op *Op, inRegion bool) *span {
	s := m.newSpan(ctx, op)
	if inRegion {
		s.region = trace.StartRegion(ctx, regionName(s.what))
	}
	s.begin()
	return s
}

// observeTask begins a span of op, which has begun, and is a task since nobody waits.
func (m *Manager) observeTask(op *Op) {
	s := m.newSpan(context.Background(), op)
	if trace.IsEnabled() {
		s.ctx, s.task = trace.NewTask(s.ctx, regionName(s.what))
	}
	s.begin()
}

// observeChain begins the spans of a chain, which has begun. The region of one that is waited for is the chain's.
func (m *Manager) observeChain(ctx context.Context, ops []*Op, callbacks bool) {
	for _, op := range ops {
		if callbacks {
			m.observeTask(op)
		} else {
			m.observe(ctx, op, false)
		}
	}
}

func (m *Manager) newSpan(ctx context.Context, op *Op) *span {
	return &span{m: m, op: op, id: lastSpan.Add(1), what: op.what(), name: op.displayName(), began: clock.Nanos(), ctx: ctx}
}

// regionName is what a trace calls an operation, and the rest of what this package has in it.
func regionName(what string) string { return "ringport." + what }

func (s *span) begin() {
	s.op.span.Store(s)
	s.log("operation started")
}

// end ends the span, once. Nobody else can start the operation again yet.
func (s *span) end() {
	if !s.op.span.CompareAndSwap(s, nil) {
		return
	}
	if s.region != nil {
		s.region.End()
	}
	if s.task != nil {
		s.task.End()
	}
	if atomic.LoadUint32(&s.op.state) == opActive { // see abandon; or the loop broke
		s.log("operation abandoned")
		return
	}
	n, err := s.op.Result()
	attrs := []slog.Attr{slog.Int("n", n), slog.Duration("took", time.Duration(clock.Nanos()-s.began))}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	s.log("operation done", attrs...)
}

func (s *span) log(what string, attrs ...slog.Attr) {
	if l := s.m.config.Logger; l != nil {
		attrs = append([]slog.Attr{slog.Uint64("id", s.id), slog.String("op", s.what), slog.String("name", s.name)}, attrs...)
		l.LogAttrs(s.ctx, LevelOperation, what, attrs...)
	}
}

// call calls the operation's callback, in a region of its own.
func (s *span) call(f func(*Op), op *Op) {
	defer trace.StartRegion(s.ctx, regionName("callback")).End()
	f(op)
}

// cancelFor is cancel for the user, who is told of it.
func (m *Manager) cancelFor(op *Op, cause error) {
	if s := op.span.Load(); s != nil {
		s.cancel(cause)
	}
	m.cancel(op, cause)
}

func (s *span) cancel(cause error) { s.log("cancel", slog.Any("cause", cause)) }
