package rnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/neterr"
)

// Handler is what a loop calls about its connections, each always from the same goroutine, that of its loop, so that a handler needs no lock for
// what belongs to a connection. It must not block: all connections of the loop wait meanwhile. One that panics ends the program. A handler may
// have the methods of [EOFHandler] and [DrainHandler] as well.
type Handler interface {
	// OnOpen is called first, when a connection has been accepted.
	OnOpen(c *LoopConn)
	// OnData is called with what has been received. The data is borrowed: it is valid until OnData returns.
	OnData(c *LoopConn, data []byte)
	// OnClose is called last: after io.EOF when the peer has ended its stream and all that was written until then is sent, net.ErrClosed when the
	// connection was closed on this side, os.ErrDeadlineExceeded after its timeout, what Loops.Wait says when the loops end, or another
	// error, as it is and not in a *net.OpError. The connection's addresses can still be had.
	OnClose(c *LoopConn, err error)
}

// EOFHandler is a [Handler] whose connections go on when the peer has ended its stream (half close, shutdown(2)): for answers that come later, by
// way of [LoopConn.Post]. Such a connection lasts until its Close, its timeout, or an error of what is written.
type EOFHandler interface {
	// OnEOF is called after the last OnData, once.
	OnEOF(c *LoopConn)
}

// DrainHandler is a [Handler] that is told when what it has written is sent, so that it can go on with a long answer piece by piece.
type DrainHandler interface {
	// OnDrained is called when Pending has become 0, unless the connection has ended.
	OnDrained(c *LoopConn)
}

// LoopConfig says how loops are run. The zero LoopConfig is a good one.
type LoopConfig struct {
	Loops int // how many, each with a ring and a thread of its own; zero: one for each processor that Go uses
	// Each loop has so many buffers, at most 32768, of so many bytes, at most 1 MiB, for receiving; zero: 2048 of 4096.
	Buffers     int
	BufferBytes int
	// MaxPendingBytes is how much may wait to be sent on a connection before no more is received on it; zero: 256 KiB. So a peer that sends and
	// does not read finds out, and the memory for it stays bounded if a handler writes no more than in proportion to what it reads. What the
	// system had received already still comes. Write takes more all the same: who sends what nobody has asked for looks at Pending, and goes
	// on in OnDrained.
	MaxPendingBytes int
	Backend         string // see ringport.Config
}

// complete checks c and fills in what is zero.
func (c *LoopConfig) complete() error {
	for _, f := range []struct {
		name      string
		value     *int
		byDefault int
		max       int
	}{
		{"Loops", &c.Loops, runtime.GOMAXPROCS(0), 1024},
		{"Buffers", &c.Buffers, 2048, 1 << 15},
		{"BufferBytes", &c.BufferBytes, 4096, 1 << 20},
		{"MaxPendingBytes", &c.MaxPendingBytes, 256 << 10, 1 << 30},
	} {
		if *f.value < 0 || *f.value > f.max {
			return &ringport.ConfigError{Field: f.name, Value: strconv.Itoa(*f.value), Reason: fmt.Sprintf("it must be from 0 (default) to %d", f.max)}
		}
		if *f.value == 0 {
			*f.value = f.byDefault
		}
	}
	return nil
}

// Loops is a server of callbacks: connections are spread over loops, each a goroutine that is locked to its thread and drives a ring of its
// own. See [ServeLoops].
type Loops struct {
	config  LoopConfig
	handler Handler
	drain   DrainHandler // the handler, asked after each send; nil: it has no OnDrained
	network string
	addr    net.Addr
	divides bool   // one loop accepts for all, and hands connections over
	next    uint32 // whose turn it is to get one then; that loop's
	running sync.WaitGroup
	unwatch func() bool // the context

	mu    sync.Mutex
	loops []*loop
	err   error // why they ended, the first reason
}

// ServeLoops listens on a network and an address, as [Listen] does, and calls h about the connections, until ctx ends or [Loops.Close] is
// called. An error means that nobody listens. It is for servers, and without TLS; for the rest there is [Conn]. Where the system divides
// connections among listeners (Linux, TCP) each loop has its own; elsewhere the first one accepts for all.
func ServeLoops(ctx context.Context, network, address string, h Handler, config LoopConfig) (*Loops, error) {
	if h == nil {
		return nil, listenError(network, nil, fmt.Errorf("the handler: %w", ringport.ErrNilCallback))
	}
	if err := config.complete(); err != nil {
		return nil, listenError(network, nil, err)
	}
	ls := &Loops{config: config, handler: h, network: network}
	ls.drain, _ = h.(DrainHandler)
	shared := portsAreShared && !isUnix(network) && ls.config.Loops > 1
	ls.divides = !shared && ls.config.Loops > 1
	for i := range ls.config.Loops {
		l := &loop{of: ls, conns: map[*LoopConn]struct{}{}}
		started := make(chan error)
		ls.running.Add(1)
		go l.run(ctx, address, shared, i == 0 || shared, started)
		if err := <-started; err != nil {
			ls.running.Done()
			ls.Close()
			return nil, err
		}
		if i == 0 {
			ls.addr = l.listener.Addr()
			address = ls.addr.String() // the others get the port that the first one has got
		}
		ls.mu.Lock()
		ls.loops = append(ls.loops, l)
		ended := ls.err
		ls.mu.Unlock()
		if ended != nil { // meanwhile: stop did not know of this one
			l.post(func() { l.ending = ended })
		}
	}
	ls.unwatch = context.AfterFunc(ctx, func() { ls.stop(ctxend.Cause(ctx)) })
	return ls, nil
}

// Addr is where they listen.
func (ls *Loops) Addr() net.Addr { return ls.addr }

// Close ends all connections and loops, and waits for that, so it may not be called by a handler. What waits to be sent is dropped. A
// second Close does nothing. See [Loops.Wait] for the result.
func (ls *Loops) Close() error {
	ls.stop(net.ErrClosed)
	ls.running.Wait()
	return nil
}

// Wait waits until the loops have ended, and says why: net.ErrClosed after Close, the end of the context, which matches both its error and its
// cause, or what went wrong.
func (ls *Loops) Wait() error {
	ls.running.Wait()
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.unwatch != nil {
		ls.unwatch()
	}
	return ls.err
}

func (ls *Loops) stop(cause error) {
	ls.mu.Lock()
	if ls.err == nil {
		ls.err = cause
	}
	loops := ls.loops
	ls.mu.Unlock()
	for _, l := range loops {
		l.post(func() { l.ending = cause })
	}
}

// loop is one goroutine with one ring.
type loop struct {
	of       *Loops
	m        *ringport.Manager
	bufs     *ringport.Buffers
	listener *Listener // nil: another loop accepts
	accept   ringport.Op
	conns    map[*LoopConn]struct{}
	closes   int        // in flight
	spare    []*sending // for connections that have something to send
	ending   error      // not nil: the loop is to end

	hasPosted atomic.Bool
	mu        sync.Mutex
	posted    []func()
	over      bool // nothing can be posted any more
}

// post has f run by the loop, if it has not ended. Any goroutine may call it.
func (l *loop) post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.posted = append(l.posted, f)
	l.hasPosted.Store(true)
	l.m.Wake()
	return true
}

func (l *loop) runPosted() {
	for l.hasPosted.Load() {
		l.mu.Lock()
		posted := l.posted
		l.posted = nil
		l.hasPosted.Store(false)
		l.mu.Unlock()
		for _, f := range posted {
			f()
		}
	}
}

// run is the loop's life. It reports through started, once, whether it began.
func (l *loop) run(ctx context.Context, address string, shared, accepts bool, started chan<- error) {
	if err := l.open(ctx, address, shared, accepts); err != nil {
		started <- err
		return
	}
	started <- nil
	defer l.of.running.Done()
	for l.ending == nil {
		if _, err := l.m.Step(-1); err != nil {
			l.ending = err
			l.of.stop(err)
		}
		l.runPosted()
	}
	l.close()
}

func (l *loop) open(ctx context.Context, address string, shared, accepts bool) (err error) {
	l.m, err = ringport.New(ringport.Config{CallerDriven: true, Backend: l.of.config.Backend, Depth: loopDepth})
	if err != nil {
		return listenError(l.of.network, nil, err)
	}
	if l.bufs, err = l.m.NewBuffers(l.of.config.Buffers, l.of.config.BufferBytes); err != nil {
		err = listenError(l.of.network, nil, err)
	} else if accepts {
		var ln net.Listener
		if ln, err = (&ListenConfig{Manager: l.m, ReusePort: shared, ofLoop: true}).Listen(ctx, l.of.network, address); err == nil {
			l.listener = ln.(*Listener)
			l.accept = ringport.AcceptMany(l.listener.s.handle())
			if l.of.divides {
				l.accept.Unattached() // whose it will be attaches it
			}
			if err = l.m.Start(&l.accept, l.onAccept); err != nil {
				err = listenError(l.of.network, l.listener.Addr(), err)
				l.listener.Close()
			}
		}
	}
	if err != nil {
		l.m.Close()
	}
	return err
}

// loopDepth is the submission queue of a loop: what may be started in one step before the kernel is entered.
const loopDepth = 2048

// close ends what there is.
func (l *loop) close() {
	for c := range l.conns {
		c.abort(l.ending)
	}
	if l.listener != nil {
		l.m.Cancel(&l.accept)
	}
	for len(l.conns) > 0 || l.listener != nil {
		if _, err := l.m.Step(-1); err != nil {
			break
		}
		l.runPosted()
	}
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.runPosted()
	for l.closes > 0 {
		if _, err := l.m.Step(-1); err != nil {
			break
		}
	}
	l.m.Close()
}

// acceptPause is how long a loop does not accept when there are no descriptors left.
const acceptPause = 100 * time.Millisecond

func (l *loop) onAccept(op *ringport.Op) {
	n, err := op.Result()
	switch {
	case err == nil:
		l.handOut(ringport.Handle(n))
	case l.ending != nil:
		l.closeListener()
	case exhausted(err): // those that wait stay in the queue
		l.m.AfterFunc(acceptPause, l.acceptAgain)
	case errors.Is(err, syscall.ECONNABORTED): // it was there, and left
		l.acceptAgain()
	default:
		l.of.stop(l.listener.s.failedHere("accept", err))
		l.closeListener()
	}
}

// exhausted reports whether there were no descriptors or memory for a connection.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

func (l *loop) acceptAgain() {
	if l.ending != nil {
		l.closeListener()
		return
	}
	if err := l.m.Start(&l.accept, l.onAccept); err != nil {
		l.of.stop(err)
		l.closeListener()
	}
}

func (l *loop) closeListener() {
	if l.listener != nil {
		l.listener.Close()
		l.listener = nil
	}
}

func (l *loop) closeHandle(h ringport.Handle) {
	op := ringport.CloseHandle(h)
	l.closes++
	if l.m.Start(&op, func(*ringport.Op) { l.closes-- }) != nil { // never: the manager is closed last
		panic("rnet: a loop can't close a connection")
	}
}

// handOut makes a connection this loop's, or that of the next, where one accepts for all.
func (l *loop) handOut(h ringport.Handle) {
	to := l
	if l.of.divides {
		l.of.mu.Lock() // the first connections may come before all loops have been started
		if loops := l.of.loops; len(loops) > 0 {
			l.of.next++
			to = loops[int(l.of.next)%len(loops)]
		}
		l.of.mu.Unlock()
	}
	if to == l || !to.post(func() { to.adopt(h) }) {
		l.adopt(h)
	}
}

// adopt makes h a connection of this loop.
func (l *loop) adopt(h ringport.Handle) {
	c := &LoopConn{l: l, h: h}
	if l.of.divides {
		if err := l.m.Attach(h); err != nil {
			l.of.stop(&net.OpError{Op: "accept", Net: l.of.network, Addr: c.LocalAddr(), Err: neterr.Cause(err)})
			closeSocket(h)
			return
		}
	}
	if l.ending != nil {
		l.closeHandle(h)
		return
	}
	l.conns[c] = struct{}{}
	if !isUnix(l.of.network) {
		ringport.SetSocketOption(h, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	l.of.handler.OnOpen(c)
	c.receive()
	c.finish()
}
