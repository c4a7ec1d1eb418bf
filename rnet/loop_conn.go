package rnet

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/neterr"
)

// LoopConn is a connection of a loop. Its methods are for the functions of its [Handler], but for Post, which is anybody's.
type LoopConn struct {
	// Data is the handler's, for what it keeps with the connection.
	Data any

	l         *loop
	h         ringport.Handle
	in        ringport.Op
	out       *sending          // nil: nothing is to be sent
	timeout   *ringport.Timeout // made when first set
	ended     error             // what OnClose is told; nil: it goes on
	flush     bool              // it has ended, but what waits is still to be sent
	receiving bool              // in is in flight
	paused    bool              // by Pause
	eof       bool              // OnEOF was called
	closed    bool              // OnClose was called
	gone      bool              // the handle may be somebody else's
}

// sending is what a connection needs while it has something to send: what is in flight, and what waits for that.
type sending struct {
	op       ringport.Op
	c        *LoopConn
	done     func(op *ringport.Op) // made once
	busy     bool                  // op is in flight
	inFlight []byte
	sent     int // of inFlight
	waiting  []byte
}

const (
	keptBytes   = 64 << 10 // the largest buffer that is kept for the next connection that sends
	keptSending = 256      // how many are kept
)

func (l *loop) sending() *sending {
	if n := len(l.spare); n > 0 {
		s := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return s
	}
	s := &sending{}
	s.done = func(op *ringport.Op) { s.c.onSent(op) }
	return s
}

// release gives what was needed for sending to the next that needs it.
func (c *LoopConn) release() {
	s := c.out
	c.out = nil
	s.c, s.sent = nil, 0
	if cap(s.inFlight) > keptBytes {
		s.inFlight = nil
	}
	if cap(s.waiting) > keptBytes {
		s.waiting = nil
	}
	s.inFlight, s.waiting = s.inFlight[:0], s.waiting[:0]
	if len(c.l.spare) < keptSending {
		c.l.spare = append(c.l.spare, s)
	}
}

// Write sends p after what was written before. It copies p and never waits; what goes wrong is told to OnClose. While more than
// MaxPendingBytes wait, see [LoopConn.Pending], nothing is received. net.ErrClosed if the connection has ended.
func (c *LoopConn) Write(p []byte) (int, error) {
	if c.ended != nil {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.out == nil {
		c.out = c.l.sending()
		c.out.c = c
	}
	c.out.waiting = append(c.out.waiting, p...)
	if !c.out.busy {
		c.send()
	}
	if c.receiving && c.crowded() {
		c.l.m.Cancel(&c.in)
	}
	return len(p), nil
}

// Pending is how many bytes wait to be sent.
func (c *LoopConn) Pending() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.inFlight) - c.out.sent + len(c.out.waiting)
}

func (c *LoopConn) crowded() bool { return c.out != nil && c.Pending() > c.l.of.config.MaxPendingBytes }

// send begins to send what waits.
func (c *LoopConn) send() {
	s := c.out
	s.inFlight, s.waiting, s.sent = s.waiting, s.inFlight[:0], 0
	c.sendRest()
}

func (c *LoopConn) sendRest() {
	s := c.out
	s.op = ringport.Send(c.h, s.inFlight[s.sent:], 0)
	if err := c.l.m.Start(&s.op, s.done); err != nil {
		c.fail(err)
		return
	}
	s.busy = true
}

func (c *LoopConn) onSent(op *ringport.Op) {
	s := c.out
	n, err := op.Result()
	s.busy = false
	s.sent += n
	switch {
	case err != nil:
		c.fail(err)
	case c.ended != nil && !c.flush: // what waits is dropped
	case s.sent < len(s.inFlight):
		c.sendRest()
	case len(s.waiting) > 0:
		c.send()
	default:
		c.release()
		if d := c.l.of.drain; d != nil && c.ended == nil {
			d.OnDrained(c)
		}
	}
	c.receive()
	c.finish()
}

// receive begins to receive, unless it does, or may not.
func (c *LoopConn) receive() {
	if c.receiving || c.paused || c.eof || c.ended != nil || c.crowded() {
		return
	}
	c.in = ringport.RecvMany(c.h, c.l.bufs, 0)
	if err := c.l.m.Start(&c.in, c.onData); err != nil {
		c.fail(err)
		return
	}
	c.receiving = true
}

func (c *LoopConn) onData(op *ringport.Op) {
	if data := op.Data(); data != nil && c.ended == nil {
		c.l.of.handler.OnData(c, data)
	}
	if !op.More() {
		c.receiving = false
		switch _, err := op.Result(); {
		case err == io.EOF:
			c.onEOF()
		case err != nil && !errors.Is(err, ringport.ErrCanceled):
			c.fail(err)
		}
		c.receive()
	}
	c.finish()
}

// onEOF is the end of the peer's stream.
func (c *LoopConn) onEOF() {
	if c.ended != nil {
		return
	}
	h, goesOn := c.l.of.handler.(EOFHandler)
	if !goesOn {
		c.ended, c.flush = io.EOF, true
		return
	}
	c.eof = true
	h.OnEOF(c)
}

// Pause has nothing received until Resume; what the system had received already still comes. The end of the stream is not noticed either: a
// timeout ends who has left meanwhile.
func (c *LoopConn) Pause() {
	c.paused = true
	if c.receiving {
		c.l.m.Cancel(&c.in)
	}
}

// Resume undoes Pause.
func (c *LoopConn) Resume() {
	c.paused = false
	c.receive()
}

// SetTimeout ends the connection after d, with os.ErrDeadlineExceeded, unless it is set anew before; d ≤ 0 means never.
func (c *LoopConn) SetTimeout(d time.Duration) {
	switch {
	case c.closed:
	case d <= 0:
		if c.timeout != nil {
			c.timeout.Stop()
		}
	case c.timeout == nil:
		c.timeout = c.l.m.AfterFunc(d, func() { c.abort(os.ErrDeadlineExceeded) })
	default:
		c.timeout.Reset(d)
	}
}

// Close ends the connection: OnData is not called any more, and OnClose is when all that was written is sent. A peer that does not read holds
// that up until a timeout, which may be set after Close too.
func (c *LoopConn) Close() {
	if c.ended == nil {
		c.ended, c.flush = net.ErrClosed, true
		c.wind()
	}
}

// abort ends the connection and drops what waits to be sent.
func (c *LoopConn) abort(cause error) {
	c.fail(cause)
	if c.out != nil && c.out.busy {
		c.l.m.Cancel(&c.out.op)
	}
	c.wind()
}

// fail is why the connection ends at once. The first such reason counts.
func (c *LoopConn) fail(err error) {
	if c.ended == nil || c.flush {
		c.ended, c.flush = err, false
	}
}

// wind brings about that finish is called, though not in the caller's stack.
func (c *LoopConn) wind() {
	if c.receiving {
		c.l.m.Cancel(&c.in)
	} else if c.out == nil || !c.out.busy {
		c.l.m.AfterFunc(0, c.finish)
	}
}

// finish closes a connection that has ended, as soon as nothing is in flight on it.
func (c *LoopConn) finish() {
	if c.ended == nil || c.closed || c.receiving || c.out != nil && c.out.busy {
		return
	}
	c.closed = true
	if c.out != nil {
		c.release()
	}
	if c.timeout != nil {
		c.timeout.Stop()
	}
	delete(c.l.conns, c)
	c.l.of.handler.OnClose(c, neterr.Cause(c.ended))
	c.gone = true
	c.l.closeHandle(c.h)
}

// Post has f run by the connection's loop, between two functions of its handler, and reports whether it will be. Any goroutine may call it. F
// may run after OnClose, and finds then that Write fails.
func (c *LoopConn) Post(f func()) bool { return c.l.post(f) }

// LocalAddr is this side's address, nil when OnClose has returned.
func (c *LoopConn) LocalAddr() net.Addr { return c.address(ringport.LocalAddress) }

// RemoteAddr is the peer's address, nil when OnClose has returned, and if the peer has reset the connection.
func (c *LoopConn) RemoteAddr() net.Addr { return c.address(ringport.RemoteAddress) }

func (c *LoopConn) address(ask func(ringport.Handle) (ringport.SocketAddress, error)) net.Addr {
	if c.gone {
		return nil
	}
	a, err := ask(c.h)
	if err != nil {
		return nil
	}
	return netAddr(c.l.of.network, a)
}
