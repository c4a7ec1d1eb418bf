package ringport

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/driver"
)

// call is one operation of a caller of File, or a caller that waits for its turn. While it is in file.calls, Close and
// deadlines end it: file.mu is held when they do, and when it is put in and taken out.
type call struct {
	running *Op // what do runs: op, or one of the caller's own
	op      Op
	ext     driver.Ext
	bufs    [][]byte // of a vectored operation
	message driver.Message
	peer    SocketAddress // of the message

	way        way
	turn       *turn      // what it waits for; nil: its operation is in flight
	granted    chan error // it has its turn, or will not get it
	prev, next *call
}

var fileCalls = sync.Pool{New: func() any { return &call{granted: make(chan error, 1)} }}

// free makes a call that is over ready for others. One whose operation did not come back, because the loop broke, is left to
// whoever still has it.
func (c *call) free() {
	if c.running != nil && atomic.LoadUint32(&c.running.state) == opActive {
		return
	}
	c.running = nil
	c.op = Op{}
	clear(c.bufs)
	c.bufs = c.bufs[:0]
	c.message = driver.Message{}
	c.ext = driver.Ext{Platform: c.ext.Platform} // what the driver made there is used again
	fileCalls.Put(c)
}

// do runs c.op on the file, which the caller has entered.
func (f *File) do(c *call, w way) (int, error) { return f.doOp(c, &c.op, w) }

// doOp runs op as the call c.
func (f *File) doOp(c *call, op *Op, w way) (int, error) {
	op.name = f.name
	if f.regular {
		op.req.Flags |= driver.Regular
	}
	if f.mayRunHere(w) {
		crowd, limit := f.crowdFor(op)
		defer f.m.leaveCrowd(crowd)
		if crowd.Add(1) <= limit && !f.m.closing() { // a Close from here on waits for the crowd, and then releases the driver
			if f.m.observed() {
				defer f.m.observe(f.context(), op, true).end()
			}
			f.m.drv.Here(&op.req)
			f.state.Add(fileDone)
			return op.Result()
		}
	}
	ctx := f.context()
	if ctx.Err() != nil {
		return 0, op.fail(ctxend.Cause(ctx))
	}
	f.mu.Lock()
	err := f.refusal(w)
	if err != nil {
		err = op.fail(err)
	} else {
		err = f.m.begin(op)
	}
	if err != nil {
		f.mu.Unlock()
		return 0, err
	}
	c.way, c.running = w, op
	f.calls.push(c)
	f.mu.Unlock()
	if f.m.observed() {
		defer f.m.observe(ctx, op, true).end()
	}
	ahead := f.advance(op)
	n, err := f.m.run(ctx, op)
	f.settle(op, ahead, n)
	f.mu.Lock()
	f.calls.remove(c)
	f.mu.Unlock()
	return n, err
}

// Do runs an operation that File has no method for, on the file's handle, whichever it was made with, and waits until it is done. Close
// and the end of the view's context end it, and it keeps the descriptor open until then. The result is op's, as [Manager.Do]
// gives it. It does not take turns with Read and Write.
func (f *File) Do(op *Op) (int, error) { return f.doOwn(op, neither) }

// DoRead is Do of an operation that waits for something to come in, such as [Accept] or [RecvMsg]: the read deadline ends it too.
func (f *File) DoRead(op *Op) (int, error) { return f.doOwn(op, reading) }

// DoWrite is Do of an operation that waits until something can go out, such as [Connect] or [SendMsg]: the write deadline ends it too.
func (f *File) DoWrite(op *Op) (int, error) { return f.doOwn(op, writing) }

func (f *File) doOwn(op *Op, w way) (int, error) {
	if err := f.enter(op.req.Kind.String()); err != nil {
		return 0, err
	}
	defer f.leave()
	if s := atomic.LoadUint32(&op.state); s == opActive || s == opOwed { // before it is touched
		return 0, f.failed(op.req.Kind.String(), ErrInFlight)
	}
	op.req.FD = f.h
	if f.messages && (op.req.Kind == driver.RecvMsg || op.req.Kind == driver.SendMsg) {
		if n, err, ok := f.moveNow(op, w); ok {
			return n, err
		}
	}
	c := fileCalls.Get().(*call)
	defer c.free()
	return f.doOp(c, op, w)
}

// mayRunHere reports whether an operation may run on the caller's own thread: it ends by itself, and neither a context nor a
// deadline is to end it sooner.
func (f *File) mayRunHere(w way) bool {
	return f.crowd != 0 && f.ctx == nil && f.state.Load()&(fileClosed|w.deadlineBit()) == 0
}

// crowdFor is whom op is counted among, and up to how many of them it runs on its caller's own thread. A lone caller loses by
// handing an operation over and being woken. As long as there are no more of them than processors, this holds for what most
// often only copies from or to the page cache. A larger crowd shares the queue; but a sync keeps a thread busy anyway.
func (f *file) crowdFor(op *Op) (crowd *atomic.Int64, limit int64) {
	switch {
	case syncs(op):
		return &f.m.syncing, int64(f.m.config.MaxThreads)
	case f.direct && op.req.Kind.Transfers():
		return &f.m.here, 1
	}
	return &f.m.here, f.crowd
}

// once runs an operation that ends by itself, whatever the file is; fill makes it.
func (f *File) once(name string, fill func(c *call)) error {
	if err := f.enter(name); err != nil {
		return err
	}
	defer f.leave()
	c := fileCalls.Get().(*call)
	defer c.free()
	fill(c)
	c.op.req.Flags |= driver.Regular
	_, err := f.do(c, neither)
	return err
}

// refusal is why the file cannot be used: closed, or past the deadline of w. The caller holds f.mu.
func (f *file) refusal(w way) error {
	switch s := f.state.Load(); {
	case s&fileClosed != 0:
		return f.why
	case s&w.deadlineBit() != 0 && (f.deadlines[w].at == passed || f.deadlines[w].at <= f.m.timeouts.now()):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// over is why a call cannot begin, for one that will not come to do.
func (f *File) over(op string, w way) error {
	var err error
	if f.ctx != nil && f.ctx.Err() != nil {
		err = ctxend.Cause(f.ctx)
	} else if f.m.closing() {
		err = ErrManagerClosed
	} else if f.state.Load()&(fileClosed|w.deadlineBit()) != 0 {
		f.mu.Lock()
		err = f.refusal(w)
		f.mu.Unlock()
	}
	if err != nil {
		return f.failed(op, err)
	}
	return nil
}

// end asks the calls of these ways to end. The caller holds f.mu, which keeps an operation from being used again before it has
// been asked.
func (f *file) end(cause error, ways ...way) {
	if f.in != nil && slices.Contains(ways, reading) {
		f.in.End(cause)
	}
	for c := f.calls.first; c != nil; {
		next := c.next
		switch {
		case !slices.Contains(ways, c.way):
		case c.turn != nil:
			f.calls.grant(c, cause) // from here on c is not ours, and may be another file's
		default:
			f.m.cancel(c.running, cause)
		}
		c = next
	}
}

// callList is a list of calls, oldest first.
type callList struct{ first, last *call }

func (l *callList) push(c *call) {
	c.prev, c.next = l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

func (l *callList) remove(c *call) {
	if c.prev == nil {
		l.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// grant ends a call's wait for its turn: with the turn, or with a reason why it will not get it.
func (l *callList) grant(c *call, reason error) {
	l.remove(c)
	c.turn = nil
	c.granted <- reason
}

// active reports whether an operation is in flight (caller-driven mode, where no call waits for a turn).
func (l *callList) active() bool {
	for c := l.first; c != nil; c = c.next {
		if c.running.state == opActive {
			return true
		}
	}
	return false
}
