package ringport

import (
	"sync"
	"sync/atomic"
)

// posted holds functions for the loop to run that are no operation's and no timeout's. They may come from any goroutine in both modes.
type posted struct {
	some atomic.Bool
	mu   sync.Mutex
	fs   fifo[func()]
}

// post has the loop run f: on a worker's goroutine (threaded), or in Step (caller-driven). After Close nothing runs.
func (m *Manager) post(f func()) {
	p := &m.posted
	p.mu.Lock()
	p.fs.push(f)
	p.some.Store(true)
	p.mu.Unlock()
	m.poke()
}

// take moves what was posted into due.
func (p *posted) take(due *fifo[func()]) {
	if !p.some.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	due.take(&p.fs)
	p.some.Store(false)
}
