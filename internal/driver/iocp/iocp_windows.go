package iocp

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// Driver implements driver.Driver. In shared mode one lock covers the bookkeeping; in owned mode it is the owner's alone. Workers are
// goroutines of their own in both modes, and share with the rest what workers.mu covers, no more. mu comes before workers.mu.
type Driver struct {
	owned bool
	port  windows.Handle
	woken atomic.Bool // a wake is in the port

	mu        sync.Mutex // shared mode: see lock
	blocks    []*block   // all there are; index: State.Slot less one
	spare     []*block
	byAddress map[uintptr]*block
	pin       runtime.Pinner
	kept      int               // bytes of the blocks' bounces
	staged    list              // owned mode: not yet started
	starting  *file             // owned mode: what the request that is being started was submitted for, if that is a registered file
	done      []*driver.Request // back, without a packet
	polled    bool              // somebody waits for the port: see keep
	files     []*file           // registered; nil: empty
	bufs      [][]byte          // registered

	unanswered list    // pending, and asked to end
	lookout    lookout // for them
	owed       int     // blocks that a packet will come for, though their request is back

	entries []win32.OverlappedEntry // whoever is in Wait

	foreign, late atomic.Int64 // see Strays

	alarm alarm // the same

	handles   handles
	positions positions
	afd       afd
	packets   *waitPackets // nil: the system has none
	providers providers
	workers
	driver.PickedBuffers
}

var _ driver.Driver = (*Driver)(nil)

const defaultMaxThreads = 32 // where most disks are busy

// Open makes a driver with a completion port of its own. Options.MaxThreads is how many threads it may block at a time in calls
// that end by themselves; zero: 32. Options.Depth means nothing here. The error is the system's.
func Open(o driver.Options) (*Driver, error) {
	d := &Driver{owned: o.Owned, byAddress: map[uintptr]*block{}}
	d.handles.known = map[windows.Handle]*traits{}
	d.positions.init()
	d.workers.init(o.MaxThreads)
	// As many threads as want to may run at once: those that leave the wait run other goroutines and count as running.
	port, err := windows.CreateIoCompletionPort(windows.InvalidHandle, 0, 0, 1<<32-1)
	if err != nil {
		return nil, err
	}
	d.port = port
	if win32.HasWaitPackets() {
		d.packets = &systemPackets
	}
	return d, nil
}

// Name is "iocp".
func (d *Driver) Name() string { return Name }

func (d *Driver) lock() {
	if !d.owned {
		d.mu.Lock()
	}
}

func (d *Driver) unlock() {
	if !d.owned {
		d.mu.Unlock()
	}
}

// Submit implements driver.Driver. In shared mode it answers on the spot what the system answers on the spot.
func (d *Driver) Submit(r *driver.Request) bool {
	r.Reset()
	if !d.owned {
		return d.start(r)
	}
	t, ok := target{}, true
	if _, registered := r.FD.Registered(); registered { // it goes on with this one, whatever is registered meanwhile
		t, ok = d.target(r.FD)
	}
	if !ok {
		r.Err = windows.ERROR_INVALID_HANDLE
		d.keep(r)
		return false
	}
	d.staged.push(d.take(r, staged, t))
	return false
}

// SubmitChain leaves chains to the manager: the system has none.
func (d *Driver) SubmitChain([]*driver.Request) bool { return false }

// Own implements driver.Driver. Any goroutine will do, one at a time: see docs/decisions.md.
func (d *Driver) Own() error { return nil }

// Flush implements driver.Driver. It starts what owned mode has staged.
func (d *Driver) Flush() error {
	for b := d.staged.pop(); b != nil; b = d.staged.pop() {
		d.startStaged(b)
	}
	return nil
}

// startStaged starts the request of b, on the file that it was submitted for. If a start function does not return, the request comes back all the
// same.
func (d *Driver) startStaged(b *block) {
	f := b.file
	if f != nil {
		f.uses++
	}
	r := d.release(b)
	d.starting = f
	back, returned := false, false
	defer func() {
		d.starting = nil
		if f != nil {
			f.uses--
			f.closeUnused()
		}
		if !returned {
			r.N, r.Err = 0, ErrNoReturn
		}
		if back || !returned {
			d.keep(r)
		}
	}()
	back = d.start(r)
	returned = true
}

// start begins r, and reports whether it is done already.
func (d *Driver) start(r *driver.Request) bool {
	how := &table[r.Kind]
	switch {
	case r.Kind == driver.Nop:
		return true
	case r.Asked.Load():
		r.Err = driver.ErrCanceled
		return true
	case how.exec == nil:
		r.Err = driver.ErrUnsupported
		return true
	case how.start != nil:
		return how.start(d, r)
	}
	return d.startOnWorker(r, false)
}

// Cancel implements driver.Driver.
func (d *Driver) Cancel(r *driver.Request) {
	d.lock()
	defer d.unlock()
	if s := r.State.Slot; s != 0 {
		d.cancel(d.blocks[s-1])
	}
}

// CancelAll implements driver.Driver. The newest come first: Wine finds those sooner (docs/decisions.md).
func (d *Driver) CancelAll() {
	d.lock()
	defer d.unlock()
	for i := len(d.blocks) - 1; i >= 0; i-- {
		if b := d.blocks[i]; b.r != nil {
			d.cancel(b)
		}
	}
}

// cancel ends b's request, or asks for it. The lock is held, but not throughout.
func (d *Driver) cancel(b *block) {
	b.r.State.Canceling = true
	switch b.where {
	case staged:
		d.staged.remove(b)
		b.r.Err = driver.ErrCanceled
		d.keep(d.release(b))
	case pending:
		if b.signals {
			d.cancelSignal(b)
		} else {
			d.cancelPending(b)
		}
	case onWorker:
		d.cancelJob(b)
	}
	// submitting: the submitter looks again. posted: it is over. here: it ends by itself.
}

// cancelPending asks the system to end b, which is pending. The lock is held, but not meanwhile: there may be many, and each takes a while.
func (d *Driver) cancelPending(b *block) {
	d.expect(b)
	b.use()
	h := b.on
	d.unlock()
	windows.CancelIoEx(h, &b.ov) // and not cancelIO: what it asks b may be over by now
	d.lock()
	d.unuse(b)
}

// cancelIO is CancelIoEx. ERROR_NOT_FOUND says that the call has ended, or is about to: its packet comes all the same.
// Who waits for a signal on a thread of his own waits for an event as well.
func (b *block) cancelIO(h windows.Handle) error {
	if b.signals {
		return windows.SetEvent(b.event)
	}
	return windows.CancelIoEx(h, &b.ov)
}

// RegisterBuffers implements driver.Driver.
func (d *Driver) RegisterBuffers(bufs [][]byte) error {
	d.lock()
	defer d.unlock()
	d.bufs = bufs
	return nil
}

// inFixedBuffer reports whether r's buffer lies in the registered one that it names. Rule: the addresses are only compared, and both
// slices are reachable. The lock is held.
func (d *Driver) inFixedBuffer(r *driver.Request) bool {
	if int(r.BufferIndex) >= len(d.bufs) {
		return false
	}
	whole := d.bufs[r.BufferIndex]
	from := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(r.Buf)))
	return at >= from && at+uintptr(len(r.Buf)) <= from+uintptr(len(whole))
}

// Strays implements driver.Driver.
func (d *Driver) Strays() (foreign, late int64) { return d.foreign.Load(), d.late.Load() }

// Threads implements driver.Driver.
func (d *Driver) Threads() int { return d.workers.threads() }

// Close implements driver.Driver. It waits for the last worker to end, which may still be on its way out, and for calls that nobody waits for any
// more, since the system has their memory. Handles stay attached to the port that is no more, as the system has it, and can be used through
// another driver's threads only.
func (d *Driver) Close() error {
	d.workers.wait()
	for d.owed > 0 {
		if _, err := d.Wait(nil, -1); err != nil {
			return err
		}
	}
	d.lookout.end()
	retire(d.files)
	d.afd.close()
	for _, b := range d.blocks {
		for _, h := range []windows.Handle{b.event, b.packet} {
			if h != 0 {
				windows.CloseHandle(h)
			}
		}
	}
	d.pin.Unpin()
	return windows.CloseHandle(d.port)
}
