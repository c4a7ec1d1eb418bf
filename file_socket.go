package ringport

import (
	"io"
	"syscall"

	"github.com/ringport/ringport/internal/arrival"
	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/driver"
)

// A socket most often has room for what is written, and then the operation is a system call that does not wait: it is made at once, on
// the caller's goroutine. A read most often waits for the peer, and asking first would be a call in vain; but one that filled its
// buffer is most often followed by another that need not wait. While somebody looks on, who is to see operations, nothing is done without one.

// sendAll is Write on a socket.
func (f *File) sendAll(p []byte) (n int, err error) {
	if err := f.over("write", writing); err != nil {
		return 0, err
	}
	if !f.m.observed() {
		if n, err = trySend(f.h, p); n == len(p) {
			f.state.Add(fileDone)
			return n, nil
		}
		if err != nil && err != syscall.EAGAIN {
			return 0, f.failed("write", err)
		}
	}
	c := fileCalls.Get().(*call)
	defer c.free()
	for n < len(p) {
		c.op = Send(f.h, p[n:], 0)
		m, err := f.do(c, writing)
		n += m
		if err == nil && m == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, called("write", err)
		}
	}
	return n, nil
}

// receive is Read on a socket. The caller has the turn.
func (f *File) receive(p []byte) (n int, err error) {
	if s := f.arrivals(); s != nil {
		return f.receiveArrived(s, p)
	}
	if f.more.Load() && f.over("read", reading) == nil && !f.m.observed() {
		if n, err = tryReceive(f.h, p); n > 0 {
			f.more.Store(n == len(p))
			f.state.Add(fileDone)
			return n, nil
		}
		f.more.Store(false)
		if err != nil && err != syscall.EAGAIN {
			return 0, f.failed("read", err)
		}
	}
	c := fileCalls.Get().(*call)
	defer c.free()
	c.op = Recv(f.h, p, 0)
	c.op.req.Flags = driver.Waits
	n, err = f.do(c, reading)
	if n == len(p) {
		f.more.Store(true)
	}
	return n, called("read", err)
}

// RecvFrom receives one message into p, of which the rest is lost if it is too long, and stores its sender's address in *from, unless that is
// nil. What the operation [RecvFrom] has besides, flags and what [Op.Received] tells, this has not, and costs less. See recvfrom(2).
func (f *File) RecvFrom(p []byte, from *SocketAddress) (n int, err error) {
	if err := f.enter("recvfrom"); err != nil {
		return 0, err
	}
	if f.messages && f.over("recvfrom", reading) == nil && !f.m.observed() {
		switch n, err = tryReceiveFrom(f.h, p, from); err {
		case nil:
			f.leaveDone()
			return n, nil
		case syscall.EAGAIN:
		default:
			f.leaveDone()
			return 0, f.failed("recvfrom", err)
		}
	}
	defer f.leave()
	c := fileCalls.Get().(*call)
	defer c.free()
	c.peer = SocketAddress{}
	n, err = f.doOp(c, c.asMessage(driver.RecvMsg, f.h, p), reading)
	if from != nil {
		*from = c.peer
	}
	return n, called("recvfrom", err)
}

// connected is where a connected socket sends to. It stays zero.
var connected SocketAddress

// SendTo sends p as one message to a peer, or where the socket is connected to, if to is nil or the zero SocketAddress. See sendto(2).
func (f *File) SendTo(p []byte, to *SocketAddress) (n int, err error) {
	if to == nil {
		to = &connected
	}
	if err := f.enter("sendto"); err != nil {
		return 0, err
	}
	if f.messages && f.over("sendto", writing) == nil && !f.m.observed() {
		switch n, err = trySendTo(f.h, p, to); err {
		case nil:
			f.leaveDone()
			return n, nil
		case syscall.EAGAIN:
		default:
			f.leaveDone()
			return 0, f.failed("sendto", err)
		}
	}
	defer f.leave()
	c := fileCalls.Get().(*call)
	defer c.free()
	c.peer = *to
	n, err = f.doOp(c, c.asMessage(driver.SendMsg, f.h, p), writing)
	return n, called("sendto", err)
}

// asMessage makes c.op one that moves p as a message from or to c.peer.
func (c *call) asMessage(k driver.Kind, h Handle, p []byte) *Op {
	c.bufs = append(c.bufs, capped(p))
	c.message.Address = (*driver.Address)(&c.peer)
	c.ext.Vec, c.ext.Message = c.bufs, &c.message
	c.op = Op{req: driver.Request{Kind: k, FD: h, Ext: &c.ext}}
	return &c.op
}

// arrivals is the registration of a socket that is read, made at the first read. It is nil where there can be none, and while somebody looks
// on, who is to see operations.
func (f *File) arrivals() *arrival.Socket {
	if f.unregistered || f.m.observed() {
		return nil
	}
	if f.in == nil {
		s, err := f.m.arrivals.Add(int(f.h))
		f.mu.Lock() // end looks at it
		f.in, f.unregistered = s, err != nil
		f.mu.Unlock()
	}
	return f.in
}

// receiveArrived is receive on a registered socket. It receives on the caller's goroutine, and waits in between.
func (f *File) receiveArrived(s *arrival.Socket, p []byte) (n int, err error) {
	for {
		if err := f.over("read", reading); err != nil {
			return 0, err
		}
		if s.Due() {
			n, err = tryReceive(f.h, p)
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				s.Took(0, len(p))
			case err != nil:
				f.state.Add(fileDone)
				f.m.count(&f.m.counters.failed[driver.Recv])
				return 0, f.failed("read", err)
			case n == 0:
				f.state.Add(fileDone)
				return 0, io.EOF
			default:
				s.Took(n, len(p))
				f.state.Add(fileDone)
				return n, nil
			}
		}
		if !s.Expect() {
			continue
		}
		if err := f.awaitArrival(s); err != nil {
			return 0, f.failed("read", err)
		}
	}
}

// awaitArrival waits until there is something to receive, until the file or the manager is closed, the read deadline passes or the view's
// context ends.
func (f *File) awaitArrival(s *arrival.Socket) error {
	if err := f.over("read", reading); err != nil { // it came before who ends reads could see that this one waits
		s.End(err.(*OpError).Err)
	}
	var err error
	if f.ctx == nil {
		err = <-s.Woken()
	} else {
		select {
		case err = <-s.Woken():
		case <-f.ctx.Done():
			s.End(ctxend.Cause(f.ctx))
			err = <-s.Woken()
		}
	}
	if err != nil { // else the receive that comes now is counted
		f.m.ofFiles.Add(1) // not as begun and completed: Close does not wait for this, and who asks after it would see it in flight
		f.m.count(&f.m.counters.canceled[driver.Recv])
	}
	return err
}

// moveNow moves a message, if that need not wait; ok is false if it has to. A socket of messages is most often asked by one goroutine for
// what many peers have sent, so that the next one is there already.
func (f *File) moveNow(op *Op, w way) (n int, err error, ok bool) {
	if err := f.over(op.what(), w); err != nil {
		return 0, err, true
	}
	if f.m.observed() || !tryMessage(&op.req) {
		return 0, nil, false
	}
	f.state.Add(fileDone)
	op.name = f.name
	n, err = op.Result()
	return n, err, true
}

// called is err, which an operation has just made, as an error of the method that the user called.
func called(op string, err error) error {
	if e, ok := err.(*OpError); ok {
		e.Op = op
	}
	return err
}
