package ringport

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/ringport/ringport/internal/driver"
)

// Buffers are buffers of one size that a manager's receives take when there is something to receive ([RecvMany]), so that connections
// that wait need no memory for it.
type Buffers struct {
	m      *Manager
	b      *driver.Buffers
	closed atomic.Bool
}

// maxBuffers is the most that io_uring takes in one group.
const maxBuffers = 1 << 15

// NewBuffers makes count buffers of sizeBytes each, at most 32768. While all are in callbacks, receives wait (io_uring), or buffers are added
// (elsewhere). See io_uring_register_buf_ring(3).
func (m *Manager) NewBuffers(count, sizeBytes int) (*Buffers, error) {
	if count <= 0 || count > maxBuffers || sizeBytes <= 0 || sizeBytes > MaxTransferBytes {
		return nil, &OpError{Op: "make buffers", Name: m.drv.Name(), Err: fmt.Errorf("%d of %d bytes: %w", count, sizeBytes, fs.ErrInvalid)}
	}
	b := &Buffers{m: m, b: driver.NewBuffers(count, sizeBytes)}
	if err := m.register("make buffers", func() error { return m.drv.AddBuffers(b.b) }); err != nil {
		return nil, err
	}
	return b, nil
}

// Close gives the buffers back to the system. Nothing may be in flight on them. Closing the manager does the same. Errors: ErrManagerClosed, and
// what matches os.ErrClosed if they were given back already.
func (b *Buffers) Close() error {
	if !b.closed.CompareAndSwap(false, true) {
		return &OpError{Op: "drop buffers", Name: b.m.drv.Name(), Err: os.ErrClosed}
	}
	err := b.m.register("drop buffers", func() error { return b.m.drv.DropBuffers(b.b) })
	if err != nil {
		b.closed.Store(false)
	}
	return err
}

// of reports whether m can use the buffers.
func (b *Buffers) of(m *Manager) bool { return b != nil && b.m == m && !b.closed.Load() }

// AcceptMany accepts connections, one after the other, until it is cancelled or fails: Start's function is called with each, and
// [Op.Result] is its handle then, as of an [Accept] without an address; [Op.Unattached] is for it too. [Op.More] tells whether there may be others; the last call has an error.
// Any error ends it, EMFILE, ENFILE and ECONNABORTED included: the socket still listens, and the caller starts it again, after EMFILE when some
// handle was closed. See io_uring_prep_multishot_accept(3); where the system has no such call, one follows the other.
func AcceptMany(h Handle) Op {
	return Op{req: driver.Request{Kind: driver.Accept, Flags: driver.Multishot, FD: h, Ext: &driver.Ext{}}, multi: &multishot{}}
}

// RecvMany receives from a connected socket, again and again, until it is cancelled, fails, or the peer ends the stream: Start's function is
// called with each part, which is [Op.Data]. [Op.More] tells whether there may be others; the last call has an error, io.EOF at the end of
// the stream. Flags are MSG_*. Start fails with ErrInvalidOp if bufs are nil, another manager's or closed. See
// io_uring_prep_recv_multishot(3); where the system has no such call, one follows the other.
func RecvMany(h Handle, bufs *Buffers, flags uint32) Op {
	ext := &driver.Ext{}
	if bufs != nil {
		ext.Buffers = bufs.b
	}
	return Op{req: driver.Request{Kind: driver.Recv, Flags: driver.Multishot, FD: h, Arg: flags, Ext: ext}, multi: &multishot{bufs: bufs}}
}

// multishot is what an operation with several results has beside an Op. The function is called with one result at a time, in
// order.
type multishot struct {
	bufs *Buffers

	mu      sync.Mutex // threaded: over queue, calling, again
	queue   fifo[shot]
	calling bool // somebody is calling the function, or has been told to
	again   bool // the operation is to be submitted again when the queue is empty
	current shot // while the function runs it is what Result and its kin speak of
}

// shot is one result.
type shot struct {
	n      int
	err    error
	buffer int
	more   bool
}

// begin readies s for a start.
func (s *multishot) begin(op *Op) {
	s.current, s.again = shot{}, false
	shots := &op.req.Ext.Shots
	shots.List, shots.More, shots.Listed, shots.Taken = shots.List[:0], false, false, 0
}

func (s *multishot) result(op *Op) (int, error) { return op.result(s.current.n, s.current.err) }

// More reports, in the function of an operation that may have several results, whether there may be others: that was not the last.
// It is false of all other operations.
func (op *Op) More() bool { return op.multi != nil && op.multi.current.more }

// Data is what a [RecvMany] has received. It is valid until the function that it was given to returns.
func (op *Op) Data() []byte {
	s := op.multi
	if s == nil || s.current.buffer == 0 {
		return nil
	}
	return s.bufs.b.Bytes(s.current.buffer)[:s.current.n]
}

// take moves what the driver has for op into the queue. It is called by whoever called Wait.
func (m *Manager) take(op *Op) {
	s, r := op.multi, &op.req
	shots := &r.Ext.Shots
	for i := range shots.List {
		s.queue.push(shot{n: shots.List[i].N, buffer: shots.List[i].Buffer, more: true})
	}
	shots.List, shots.Listed = shots.List[:0], false
	if shots.More {
		return
	}
	last := shot{n: r.N, err: r.Err, buffer: shots.Taken}
	shots.Taken, shots.More = 0, true // until it is in flight again, there is nothing to be taken
	if last.err == nil && (r.Kind == driver.Accept || last.n > 0) {
		last.more, s.again = true, true
	} else {
		m.claim(op)
	}
	s.queue.push(last)
}

// deliverShots is deliver for an operation that may have several results.
func (m *Manager) deliverShots(op *Op, calls *fifo[*Op]) {
	if !m.shared {
		m.take(op)
		calls.push(op)
		return
	}
	s := op.multi
	s.mu.Lock()
	m.take(op)
	if !s.calling && !s.queue.empty() {
		s.calling = true
		calls.push(op)
	}
	s.mu.Unlock()
}

// callShots calls the function with what there is, and then submits the operation again, if it goes on and is not in flight. It
// returns how many calls it made. A function that does not return, but panics or calls runtime.Goexit, has had its result all the same, and
// what comes after that is still owed.
func (m *Manager) callShots(op *Op) (ran int) {
	s, rest := op.multi, false
	defer func() {
		if rest {
			m.owe(op)
		}
	}()
	if !m.shared {
		for next, ok := s.queue.pop(); ok; next, ok = s.queue.pop() {
			rest = next.more
			m.callShot(op, next)
			rest = false
			ran++
			if l := &m.loop; !l.released {
				if l.shots++; l.shots%submitEveryShots == 0 {
					m.drv.Flush()
				}
			}
		}
		if s.again {
			s.again = false
			m.submitAgain(op)
		}
		return ran
	}
	for {
		s.mu.Lock()
		next, ok := s.queue.pop()
		if !ok {
			again := s.again
			s.calling, s.again = false, false
			s.mu.Unlock()
			if again {
				m.submitAgain(op)
			}
			return ran
		}
		if !next.more {
			s.calling = false // in the call it may begin its next life
		}
		s.mu.Unlock()
		rest = next.more
		m.callShot(op, next)
		rest = false
		if ran++; !next.more {
			return ran
		}
	}
}

// owe has the loop go on with callShots.
func (m *Manager) owe(op *Op) {
	if !m.shared {
		m.loop.calls.push(op)
		return
	}
	m.workers.mu.Lock()
	m.workers.calls.push(op)
	m.workers.mu.Unlock()
}

func (m *Manager) callShot(op *Op, next shot) {
	s, f := op.multi, op.callback
	outer := s.current // a callback of a caller-driven manager may step
	s.current = next
	defer func() { // a callback that panics has had its buffer all the same
		if next.buffer != 0 {
			m.drv.GiveBack(s.bufs.b, next.buffer)
		}
	}()
	observed := op.span.Load()
	if !next.more {
		if observed != nil {
			observed.end()
		}
		m.done(op)
	}
	if observed != nil {
		observed.call(f, op)
	} else {
		f(op)
	}
	if next.more {
		s.current = outer
	}
}

// submitAgain starts the next round of an operation that goes on.
func (m *Manager) submitAgain(op *Op) {
	r := &op.req
	r.Reset()
	r.Ext.Shots.More = false
	if r.Asked.Load() || m.closing() { // it came between two rounds; data that never ceases must not hide it
		r.Err = driver.ErrCanceled
		m.finishInline(op)
		return
	}
	m.queue(op)
}
