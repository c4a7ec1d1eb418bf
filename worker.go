package ringport

import (
	"bytes"
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

// workers is the managed pool of a threaded manager. One worker at a time has the turn: it waits in the driver. Before it
// runs callbacks, which may block, it hands the turn to an idle worker, or to a new one, or leaves it free if there are
// as many as there may be; whoever comes back from callbacks first then takes it. So the pool grows when callbacks block, and
// since no more than MinWorkers stay around idle, it shrinks without a timer.
type workers struct {
	mu       sync.Mutex
	ended    sync.Cond // total went down
	idle     []*worker
	total    int
	turnFree bool // no worker has the turn, all are in callbacks
	stopping bool
	all      map[*worker]struct{}
}

type worker struct {
	goroutine int64 // its number, to tell whether Close is called from one of its callbacks
	hasTurn   bool
	turn      chan struct{}
	batch     []*driver.Request
	calls     []*Op      // done, their callbacks to be run
	due       []*Timeout // expired, to be run
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
	w.goroutine = goroutineNumber()
	finished := false
	defer func() {
		if !finished { // a callback called runtime.Goexit: the rest is still owed
			go m.work(w)
		}
	}()
	m.runCalls(w)
	for m.workers.take(m, w) {
		m.stepShared(w)
	}
	finished = true
}

// take gets the turn for w, which may mean a sleep, or tells it to end.
func (p *workers) take(m *Manager, w *worker) bool {
	p.mu.Lock()
	switch {
	case p.stopping:
	case w.hasTurn:
		p.mu.Unlock()
		return true
	case p.turnFree:
		p.turnFree, w.hasTurn = false, true
		p.mu.Unlock()
		return true
	case len(p.idle) < m.config.MinWorkers-1:
		p.idle = append(p.idle, w)
		p.mu.Unlock()
		<-w.turn // handOn has set hasTurn, or stop wants us to look
		p.mu.Lock()
		if !p.stopping {
			p.mu.Unlock()
			return true
		}
	}
	p.total--
	delete(p.all, w)
	p.ended.Broadcast()
	p.mu.Unlock()
	return false
}

// handOn gives w's turn to another worker.
func (p *workers) handOn(m *Manager, w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.hasTurn || p.stopping {
		return
	}
	w.hasTurn = false
	switch n := len(p.idle); {
	case n > 0:
		next := p.idle[n-1]
		p.idle = p.idle[:n-1]
		next.hasTurn = true
		next.turn <- struct{}{}
	case p.total < m.config.MaxWorkers:
		p.spawn(m)
	default:
		p.turnFree = true
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
	for p.total > rest {
		p.ended.Wait()
	}
}

func (p *workers) count() (total, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total, len(p.idle)
}

// stepShared is one round of a worker that has the turn: run what is due, wait, claim, run callbacks.
func (m *Manager) stepShared(w *worker) {
	wait := m.timeouts.takeDue(&w.due)
	m.ready.take(w, m)
	if len(w.due) == 0 && len(w.calls) == 0 {
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
	if len(w.due) != 0 || len(w.calls) != 0 {
		m.workers.handOn(m, w)
		m.runCalls(w)
	}
}

// runCalls runs what w owes. Each is taken off the list first, so that a callback that never comes back costs no other.
func (m *Manager) runCalls(w *worker) {
	for len(w.due) > 0 {
		t := w.due[0]
		w.due = w.due[1:]
		t.f()
	}
	for len(w.calls) > 0 {
		op := w.calls[0]
		w.calls = w.calls[1:]
		op.callback(op)
	}
	w.due, w.calls = w.due[:0], w.calls[:0]
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
	ops := l.ops
	l.ops = nil
	l.mu.Unlock()
	for _, op := range ops {
		m.deliver(op, &w.calls)
	}
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
