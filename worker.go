package ringport

import (
	"bytes"
	"log/slog"
	"runtime"
	"strconv"
	"sync"

	"github.com/ringport/ringport/internal/driver"
)

// batchStart is how many completions a wait takes at first; the batch doubles when a wait fills it, up to batchMax.
const (
	batchStart = 64
	batchMax   = 8192
)

// workers is the managed pool of a threaded manager. One worker at a time has the turn: it waits in the driver. What it
// collects goes into a list for all. Before a worker runs a callback, which may block, it hands the turn to an idle worker, or
// to a new one, or leaves it free if there are as many as there may be; whoever comes back from a callback first then takes it.
// Who gets the turn runs what is left in the list before it waits, so that a callback that blocks holds up no other. So the
// pool grows when callbacks block, and since no more than MinWorkers stay around idle, it shrinks without a timer.
type workers struct {
	mu       sync.Mutex
	ended    sync.Cond // all has become smaller
	idle     []*worker
	total    int  // those that have not yet found that they are to end
	turnFree bool // no worker has the turn, all are in callbacks
	stopping bool
	all      map[*worker]struct{}
	calls    fifo[*Op]    // done, their callbacks to be run
	due      fifo[func()] // of expired timeouts and from posted, to be run
}

type worker struct {
	goroutine int64 // its number, to tell whether Close is called from one of its callbacks
	hasTurn   bool
	leftFree  bool // nobody could take the turn from it
	calling   *Op  // whose callback it runs
	turn      chan struct{}
	batch     []*driver.Request
	calls     fifo[*Op]    // collected, for the list
	due       fifo[func()] // the same
	ready     []*Op        // the readyList's other half
}

// fifo is a list that keeps nothing reachable that has left it, and allocates only to grow.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) empty() bool { return q.head == len(q.items) }

func (q *fifo[T]) push(item T) {
	if q.head > len(q.items)/2 { // never empty under load: move down, or it would grow for ever
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// take moves all that is in r to the end of q.
func (q *fifo[T]) take(r *fifo[T]) {
	for item, ok := r.pop(); ok; item, ok = r.pop() {
		q.push(item)
	}
}

func (q *fifo[T]) pop() (item T, ok bool) {
	if q.empty() {
		return item, false
	}
	var none T
	item, q.items[q.head] = q.items[q.head], none
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item, true
}

func newWorker() *worker {
	return &worker{turn: make(chan struct{}, 1), batch: make([]*driver.Request, batchStart)}
}

func (p *workers) start(m *Manager) {
	p.ended.L = &p.mu
	p.all = map[*worker]struct{}{}
	p.mu.Lock()
	p.spawn(m)
	p.mu.Unlock()
}

// spawn starts a worker that has the turn.
func (p *workers) spawn(m *Manager) {
	w := newWorker()
	w.hasTurn = true
	p.total++
	p.all[w] = struct{}{}
	go m.work(w)
}

// work is a worker's life.
func (m *Manager) work(w *worker) {
	finished := false
	defer func() {
		if finished {
			m.workers.gone(w)
		} else { // a callback called runtime.Goexit: the rest is still owed
			go m.work(w)
		}
	}()
	m.workers.setGoroutine(w)
	m.event("worker started", slog.Int64("goroutine", w.goroutine))
	for {
		op, due, wait := m.workers.next(m, w)
		if w.leftFree {
			w.leftFree = false
			m.event("all workers are in callbacks: nothing is delivered until one returns", slog.Int("workers", m.config.MaxWorkers))
		}
		switch {
		case op != nil:
			m.callBack(op)
		case due != nil:
			due()
		case wait:
			m.collect(w)
		default:
			finished = true
			m.event("worker ended", slog.Int64("goroutine", w.goroutine))
			return
		}
	}
}

// gone lets Close go on: w is heard of no more.
func (p *workers) gone(w *worker) {
	p.mu.Lock()
	delete(p.all, w)
	p.ended.Broadcast()
	p.mu.Unlock()
}

func (p *workers) setGoroutine(w *worker) {
	n := goroutineNumber()
	p.mu.Lock()
	w.goroutine = n
	p.mu.Unlock()
}

// next puts what w has collected into the list, and says what w is to do: run a callback or what is due, wait in the
// driver, or end. It sleeps while there is nothing to do.
func (p *workers) next(m *Manager, w *worker) (op *Op, due func(), wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.calling = nil
	p.calls.take(&w.calls)
	p.due.take(&w.due)
	for {
		var ok bool
		if due, ok = p.due.pop(); !ok {
			op, ok = p.calls.pop()
		}
		if ok {
			w.calling = op
			p.handOn(m, w)
			return op, due, false
		}
		switch {
		case p.stopping:
		case w.hasTurn:
			return nil, nil, true
		case p.turnFree:
			p.turnFree, w.hasTurn = false, true
			return nil, nil, true
		case len(p.idle) < m.config.MinWorkers-1:
			p.idle = append(p.idle, w)
			p.mu.Unlock()
			<-w.turn // handOn has set hasTurn, or stop wants us to look
			p.mu.Lock()
			continue
		}
		p.total--
		return nil, nil, false
	}
}

// handOn gives w's turn to another worker. Close has no limit: it would wait for itself if it were called in the last callback.
func (p *workers) handOn(m *Manager, w *worker) {
	if !w.hasTurn {
		return
	}
	w.hasTurn = false
	switch n := len(p.idle); {
	case n > 0:
		next := p.idle[n-1]
		p.idle = p.idle[:n-1]
		next.hasTurn = true
		next.turn <- struct{}{}
	case p.total < m.config.MaxWorkers || m.closing():
		p.spawn(m)
	default:
		p.turnFree, w.leftFree = true, true
		m.drv.Flush() // nobody will wait, but what is started must begin
	}
}

// fillIn makes sure that a worker has the turn, for Close.
func (p *workers) fillIn(m *Manager) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turnFree {
		p.turnFree = false
		p.spawn(m)
	}
}

// stop ends all workers and waits for them, but for the one whose callback it is called from.
func (p *workers) stop(m *Manager) {
	self := goroutineNumber()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	for _, w := range p.idle {
		w.turn <- struct{}{}
	}
	p.idle = nil
	m.drv.Wake()
	rest := 0
	for w := range p.all {
		if w.goroutine == self {
			rest = 1
		}
	}
	for len(p.all) > rest {
		p.ended.Wait()
	}
}

// runs reports whether the caller is in op's callback. Another worker may be on its way out of an earlier call.
func (p *workers) runs(op *Op) bool {
	self := goroutineNumber()
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.all {
		if w.calling == op && w.goroutine == self {
			return true
		}
	}
	return false
}

func (p *workers) count() (total, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total, len(p.idle)
}

// collect is one round of the worker that has the turn: take what is due, wait, and claim what came back.
func (m *Manager) collect(w *worker) {
	wait := m.timeouts.takeDue(&w.due)
	m.posted.take(&w.due)
	m.ready.take(w, m)
	if !w.due.empty() || !w.calls.empty() {
		wait = 0 // no reason to leave the others out: a timeout that sets itself again must not starve them
	}
	n, err := m.drv.Wait(w.batch, wait)
	if err != nil {
		// Only a closed or broken ring or port answers so; going on would spin without a sleep.
		panic("ringport: " + m.drv.Name() + " failed: " + err.Error())
	}
	for i, r := range w.batch[:n] {
		w.batch[i] = nil
		m.deliver(r.Owner.(*Op), &w.calls)
	}
	if n == len(w.batch) && n < batchMax {
		w.batch = make([]*driver.Request, 2*n)
	}
}

// readyList holds operations that are back without a completion, until the loop runs their callbacks.
type readyList struct {
	mu  sync.Mutex
	ops []*Op
}

func (l *readyList) push(op *Op) {
	l.mu.Lock()
	l.ops = append(l.ops, op)
	l.mu.Unlock()
}

// take delivers what is in the list.
func (l *readyList) take(w *worker, m *Manager) {
	l.mu.Lock()
	l.ops, w.ready = w.ready, l.ops
	l.mu.Unlock()
	for _, op := range w.ready {
		m.deliver(op, &w.calls)
	}
	clear(w.ready)
	w.ready = w.ready[:0]
}

// goroutineNumber is the calling goroutine's number, from the first line of its stack trace, "goroutine 7 [running]:". The
// runtime offers no other way; it is for Close alone, to find out whether it would wait for its own caller.
func goroutineNumber() int64 {
	var buf [64]byte
	line := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	number, _, _ := bytes.Cut(line, []byte(" "))
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
