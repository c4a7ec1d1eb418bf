package ringport

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

// fakeDriver waits for nothing but its own Wake, completes everything then, and lets a test see how it is driven.
type fakeDriver struct {
	waits chan time.Duration // the timeout of each Wait
	wake  chan struct{}
	wakes atomic.Int64
	here  func() // what Here does first; nil: nothing

	closed atomic.Bool

	mu      sync.Mutex // over what follows
	pending []*driver.Request
	batch   int // the length of the last Wait's batch
}

// openFake makes a threaded manager on a fake driver.
func openFake(t *testing.T, c Config) (*Manager, *fakeDriver) {
	t.Helper()
	d := &fakeDriver{waits: make(chan time.Duration, 1000), wake: make(chan struct{}, 1)}
	real := backends
	backends = []backend{{"fake", func(driver.Options) (driver.Driver, error) { return d, nil }}}
	defer func() { backends = real }()
	c.Backend = "fake"
	return open(t, c), d
}

func (d *fakeDriver) Name() string               { return "fake" }
func (d *fakeDriver) Attach(driver.Handle) error { return nil }
func (d *fakeDriver) Detach(driver.Handle) error { return nil }
func (d *fakeDriver) Submit(r *driver.Request) bool {
	if r.Kind == driver.Raw {
		r.Ext.Raw.(func())()
	}
	d.mu.Lock()
	d.pending = append(d.pending, r)
	d.mu.Unlock()
	return false
}
func (d *fakeDriver) Here(r *driver.Request) {
	if d.here != nil {
		d.here()
	}
	r.Err = driver.ErrUnsupported
}
func (d *fakeDriver) SubmitChain([]*driver.Request) bool  { return false }
func (d *fakeDriver) Flush() error                        { return nil }
func (d *fakeDriver) Own() error                          { return nil }
func (d *fakeDriver) Cancel(*driver.Request)              {}
func (d *fakeDriver) CancelAll()                          { d.rouse() }
func (d *fakeDriver) Pollable() (driver.Handle, bool)     { return 0, false }
func (d *fakeDriver) RegisterBuffers([][]byte) error      { return nil }
func (d *fakeDriver) RegisterFiles([]driver.Handle) error { return nil }
func (d *fakeDriver) AddBuffers(*driver.Buffers) error    { return nil }
func (d *fakeDriver) DropBuffers(*driver.Buffers) error   { return nil }
func (d *fakeDriver) GiveBack(*driver.Buffers, int)       {}
func (d *fakeDriver) Threads() int                        { return 0 }
func (d *fakeDriver) Strays() (foreign, late int64)       { return 0, 0 }
func (d *fakeDriver) Close() error                        { d.closed.Store(true); return nil }

func (d *fakeDriver) Wake() {
	d.wakes.Add(1)
	d.rouse()
}

func (d *fakeDriver) rouse() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *fakeDriver) Wait(batch []*driver.Request, timeout time.Duration) (int, error) {
	d.waits <- timeout
	if timeout < 0 {
		<-d.wake
	} else {
		select {
		case <-d.wake:
		case <-time.After(timeout):
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batch = len(batch)
	n := copy(batch, d.pending)
	if d.pending = d.pending[n:]; len(d.pending) > 0 {
		d.rouse()
	}
	return n, nil
}
