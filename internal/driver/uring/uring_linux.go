// Package uring is the io_uring driver. See io_uring(7), and the driver package for the contract.
//
// Shared mode: any goroutine writes its submission under a short lock and then enters the kernel without waiting, unless
// another one is in there, which then looks again and takes the submission along. The ring's descriptor sits in the Go
// runtime's poller, so that the goroutine in Wait costs no thread. Measured against a thread blocked in io_uring_enter:
// docs/decisions.md.
//
// Owned mode: one goroutine, locked to its thread, one io_uring_enter per Wait, which submits everything queued and waits.
package uring

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/pool"
	"github.com/ringport/ringport/internal/ring"
)

// Name is the backend's name in configuration, statistics and errors.
const Name = "io_uring"

// Driver implements driver.Driver.
type Driver struct {
	ring  *ring.Ring
	ops   ring.Opcodes
	owned bool
	lends bool // the kernel has zero-copy sends

	mu    sync.Mutex // shared mode: over the ring's queues in user space, slots, retries; never held in a system call
	slots []slot
	free  []uint32
	// retries are cancels and restarted requests that found the queue full; Wait passes them on.
	retries []retry

	registering sync.Mutex        // over bufs and the system calls that change them
	bufs        [][]byte          // registered: kept reachable
	groups      map[uint16]*group // of provided buffers

	// Shared mode: one goroutine at a time submits, for all. What is published and not yet sent is counted here and not read off
	// the mapped queue, since a kick may come when its request is long back and the ring is closed.
	entering        atomic.Bool
	published, sent atomic.Uint32
	// gathering: Wait has handed out a batch and will submit when it comes back, so that those it wakes, which often start
	// their next request at once, need not enter the kernel one by one.
	gathering atomic.Bool
	woken     atomic.Bool
	threads   chan struct{} // one token for each request that the ring cannot do, while it blocks a thread
	opens     *pool.Opens   // those that may wait for a peer
	waiting   atomic.Int32  // of these, how many block a thread beside those that threads counts
	fallen    []*driver.Request
	fallMu    sync.Mutex // over fallen

	foreign, late atomic.Int64 // see Strays

	poll *poller // shared mode: the ring's descriptor in the runtime's poller

	// Owned mode.
	ready   bool // the owner has taken possession
	owner   int  // its thread
	eventFD int
	tellFD  atomic.Int32 // behind Pollable; -1 until somebody asks for it
	timeout unix.Timespec
}

type slot struct {
	req *driver.Request // keeps the request and its buffers reachable; nil: free
	gen uint32
	// answer is the result of a zero-copy send that is answered.
	answer int32
	// polling: what is in the kernel is a poll for readiness, after which the request is started again.
	polling bool
	// outside: the kernel does not have it, see openOutside.
	outside bool
	// answered: the result is in, and the kernel will answer once more (IORING_CQE_F_MORE); the request is its until then.
	answered bool
	// copies: a zero-copy send is carried out as another, since the socket or the memlock limit does not allow it.
	copies bool
	// reset: see resetConnection.
	reset bool
	// hungry: the request waits for a buffer, and the kernel does not have it.
	hungry bool
}

type retry struct {
	req    *driver.Request // nil: the poll of the eventfd
	data   uint64          // of req as it was: it may have come back and be in flight again
	cancel bool
}

// User data: the slot's index plus one in the low half, its generation in the high half without the top bit, which marks
// the cancel of that very request. Low half zero: not a request.
const (
	cancelBit = uint64(1) << 63
	wakeData  = uint64(1) << 32
	eventData = uint64(2) << 32
	genMask   = 1<<31 - 1
)

const (
	defaultDepth = 256
	needed       = ring.FeatNoDrop | ring.FeatExtArg | ring.FeatRWCurPos | ring.FeatFastPoll | ring.FeatNativeWorkers
)

var _ driver.Driver = (*Driver)(nil)

// Open sets up a ring. A *driver.UnavailableError says that this system has none for us: EPERM, ENOSYS, or a kernel before
// 5.12. Other errors (EMFILE, ENOMEM) are the system's.
func Open(o driver.Options) (*Driver, error) {
	entries := o.Depth
	if entries == 0 {
		entries = defaultDepth
	}
	r, err := ring.Open(ring.Options{Entries: uint32(entries), CQEntries: uint32(max(4*entries, 1024)), Owned: o.Owned})
	if err != nil {
		return nil, explain(err)
	}
	d := &Driver{ring: r, owned: o.Owned, eventFD: -1, threads: make(chan struct{}, max(o.MaxThreads, 1)), opens: pool.NewOpens()}
	d.tellFD.Store(-1)
	if r.Features&needed != needed {
		r.Close()
		return nil, &driver.UnavailableError{Backend: Name, Reason: "the kernel is older than Linux 5.12", Err: unix.ENOSYS}
	}
	r.SetMaxWorkers(uint32(max(o.MaxThreads, fewestWorkers)), 0) // best effort: it came with Linux 5.15
	if d.ops, err = r.Probe(); err == nil {
		d.lends = ring.HasZeroCopy(r.Features, d.ops)
		if d.owned {
			d.eventFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		} else {
			d.poll, err = newPoller(r.FD)
		}
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("set up io_uring: %w", err)
	}
	return d, nil
}

// explain tells "not permitted" and "not supported", which fall back, from errors.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return &driver.UnavailableError{Backend: Name, Err: err,
			Reason: "not permitted, by a seccomp filter (containers) or by kernel.io_uring_disabled"}
	case errors.Is(err, unix.ENOSYS):
		return &driver.UnavailableError{Backend: Name, Err: err, Reason: "the kernel or its sandbox has no io_uring"}
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("set up io_uring: not enough memory, or the memlock limit (ulimit -l) is too small for its queues: %w", err)
	}
	return fmt.Errorf("set up io_uring: %w", err)
}

// Name is "io_uring".
func (d *Driver) Name() string { return Name }

// Attach reports a descriptor that is not open; the ring needs nothing else.
func (d *Driver) Attach(h driver.Handle) error {
	if _, ok := h.Registered(); ok {
		return nil
	}
	if h > 1<<30 {
		return unix.EBADF
	}
	_, err := unix.FcntlInt(uintptr(h), unix.F_GETFD, 0)
	return err
}

// Detach has nothing to undo.
func (d *Driver) Detach(h driver.Handle) error { return d.Attach(h) }

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

// Submit implements driver.Driver.
func (d *Driver) Submit(r *driver.Request) bool {
	how := &table[r.Kind]
	if !d.ops.Has(how.opcode) {
		return d.fallBack(r)
	}
	if how.prepare != nil {
		if err := how.prepare(r); err != nil {
			r.Err = err
			return true
		}
	}
	if waitsForPeer(r) {
		return d.openOutside(r)
	}
	if d.owned && !d.ready {
		if r.Err = d.own(); r.Err != nil {
			return true
		}
	}
	if d.owned {
		return d.queue(r, how)
	}
	flags := r.Flags // without More and Inline, r may be back, and somebody else's, as soon as the lock is free
	d.mu.Lock()
	d.room(1)
	done := d.queue(r, how)
	d.mu.Unlock()
	if done {
		return true
	}
	// Wait clears gathering before it looks for submissions, and this one was published before gathering is looked at.
	if flags&driver.More == 0 && (!d.gathering.Load() || d.unsent() >= gatherMost) {
		inline := flags&driver.Inline != 0
		d.kick() // from here on r may be back already, unless the caller takes it itself
		if inline {
			if d.take(r) {
				return true
			}
			d.kick() // take may have started it again
		}
	}
	return false
}

// fewestWorkers is the least bound for the kernel's workers. Fewer would run fewer syncs at a time than the disk could merge.
const fewestWorkers = 16

// queue writes r's submission.
func (d *Driver) queue(r *driver.Request, how *entry) (done bool) {
	sqe := d.ring.NextSQE()
	if sqe == nil { // owned mode; shared mode has made room
		if err := d.Flush(); err != nil {
			r.Err = err
			return true
		}
		if sqe = d.ring.NextSQE(); sqe == nil {
			r.Err = unix.EAGAIN
			return true
		}
	}
	data := d.hold(r)
	how.fill(sqe, r)
	if r.Flags&(driver.Waits|driver.ZeroCopy) != 0 {
		d.refine(sqe, r)
	}
	sqe.UserData = data
	d.publish(1)
	if r.Asked.Load() { // the cancel came too early to find r
		d.cancel(r)
	}
	return false
}

// refine adds to r's entry what depends on the kernel.
func (d *Driver) refine(sqe *ring.SQE, r *driver.Request) {
	if r.Kind == driver.Recv && r.Flags&driver.Waits != 0 && d.ops.Has(ring.OpSocket) {
		sqe.IOPrio |= ring.RecvPollFirst
	}
	if r.Flags&driver.ZeroCopy != 0 {
		d.lend(sqe, r)
	}
}

// publish lets the kernel see n more submissions. In owned mode that can wait for the next enter, which does it.
func (d *Driver) publish(n uint32) {
	if !d.owned {
		d.ring.Publish()
		d.published.Add(n)
	}
}

// unsent is how many submissions are published and not known to be taken.
func (d *Driver) unsent() uint32 { return d.published.Load() - d.sent.Load() }

// hold gives r a slot and returns its user data.
func (d *Driver) hold(r *driver.Request) uint64 {
	var i uint32
	if n := len(d.free); n > 0 {
		i = d.free[n-1]
		d.free = d.free[:n-1]
	} else {
		i = uint32(len(d.slots))
		d.slots = append(d.slots, slot{})
	}
	s := &d.slots[i]
	s.req = r
	r.State.Slot = i + 1
	return uint64(s.gen)<<32 | uint64(i+1)
}

// data is the user data of a request in flight.
func (d *Driver) data(r *driver.Request) uint64 {
	return uint64(d.slots[r.State.Slot-1].gen)<<32 | uint64(r.State.Slot)
}

// inFlight reports whether r is in flight on this driver.
func (d *Driver) inFlight(r *driver.Request) bool {
	i := r.State.Slot
	return i != 0 && int(i) <= len(d.slots) && d.slots[i-1].req == r
}

// release takes r out of its slot: nothing in the kernel refers to it any more. A new generation makes late answers to old
// questions harmless.
func (d *Driver) release(r *driver.Request) {
	i := r.State.Slot - 1
	s := &d.slots[i]
	*s = slot{gen: (s.gen + 1) & genMask}
	d.free = append(d.free, i)
	if r.State.Linked {
		r.State = driver.Private{}
		return
	}
	r.State.Slot, r.State.Canceling, r.State.Tries = 0, false, 0
}

// room waits, with the lock held on entry and return, until n submissions fit.
func (d *Driver) room(n int) {
	for d.ring.Room() < n {
		d.mu.Unlock()
		d.kick()
		if d.unsent() != 0 { // another goroutine is submitting
			runtime.Gosched()
		}
		d.mu.Lock()
	}
}

// kick submits what is queued (shared mode). If another goroutine is submitting, that one looks again when it is done.
func (d *Driver) kick() {
	for d.unsent() != 0 && d.entering.CompareAndSwap(false, true) {
		taken, errno := 0, unix.Errno(0)
		if n := d.unsent(); n != 0 {
			taken, errno = d.ring.Submit(n, 0)
		}
		if errno == 0 {
			d.sent.Add(uint32(taken))
		}
		d.entering.Store(false)
		switch errno {
		case 0, unix.EINTR:
		case unix.EBUSY: // the completion queue overflowed: Wait takes completions and submits again
			d.signal()
			return
		default: // EAGAIN: no memory for requests at this moment
			runtime.Gosched()
		}
	}
}

// signal makes Wait look.
func (d *Driver) signal() {
	d.woken.Store(true)
	if d.owned {
		one := [8]byte{1}
		unix.Write(d.eventFD, one[:]) // EAGAIN: the counter is at its limit, and so readable
		d.tell()
		return
	}
	d.poll.interrupt()
}

// take completes r on the spot if its completion is the next in the queue.
func (d *Driver) take(r *driver.Request) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.inFlight(r) {
		return false // Wait was faster
	}
	cqe := d.ring.Peek()
	if cqe == nil || cqe.UserData != d.data(r) {
		return false // others come first: for Wait
	}
	data, res, flags := cqe.UserData, cqe.Res, cqe.Flags
	if res == -int32(unix.EAGAIN) || interrupted(unix.Errno(-res)) {
		return false // to be started again: for Wait
	}
	d.ring.Next()
	d.ring.Release()
	return d.complete(data, res, flags) == r
}

// SubmitChain implements driver.Driver: IOSQE_IO_LINK on all but the last. After a zero-copy send the next would begin, and
// might be back, before the send is.
func (d *Driver) SubmitChain(rs []*driver.Request) bool {
	if len(rs) > d.ring.SQEntries() {
		return false
	}
	for i, r := range rs {
		how := &table[r.Kind]
		if !d.ops.Has(how.opcode) || how.linkGoesOn && i+1 < len(rs) || r.Flags&driver.ZeroCopy != 0 ||
			how.prepare != nil && how.prepare(r) != nil || waitsForPeer(r) {
			return false
		}
	}
	if d.owned {
		if !d.ready && d.own() != nil || d.ring.Room() < len(rs) && d.Flush() != nil || d.ring.Room() < len(rs) {
			return false
		}
	} else {
		d.mu.Lock()
		d.room(len(rs))
	}
	for i, r := range rs {
		sqe := d.ring.NextSQE()
		data := d.hold(r)
		table[r.Kind].fill(sqe, r)
		sqe.UserData = data
		if i+1 < len(rs) {
			sqe.Flags |= ring.SQEIOLink
			r.State.Next, rs[i+1].State.Prev = rs[i+1], r
		}
		r.State.Linked = true
	}
	d.publish(uint32(len(rs)))
	for _, r := range rs {
		if r.Asked.Load() { // the cancel came too early to find r
			d.cancel(r)
		}
	}
	if !d.owned {
		d.mu.Unlock()
		d.kick()
	}
	return true
}

// Flush implements driver.Driver.
func (d *Driver) Flush() error {
	if !d.owned {
		d.gathering.Store(false)
		d.kick()
		return nil
	}
	if err := d.own(); err != nil {
		return err
	}
	d.ring.Publish()
	for d.ring.Pending() != 0 {
		_, errno := d.ring.Submit(d.ring.Pending(), 0)
		switch errno {
		case 0, unix.EINTR:
		case unix.EBUSY, unix.EAGAIN: // overflowed, or no memory at this moment: Wait takes completions and submits again
			return nil
		default:
			return ownerError(errno)
		}
	}
	return nil
}

func ownerError(errno syscall.Errno) error {
	if errno == unix.EEXIST {
		return driver.ErrNotOwner
	}
	return fmt.Errorf("io_uring_enter: %w", errno)
}

// own makes the calling goroutine the owner: locks it to its thread, which becomes the ring's single issuer, and arms the
// eventfd that Wake writes to. The poll is multishot and fires once a write, so that nobody reads the eventfd.
func (d *Driver) own() error {
	if d.ready {
		return nil
	}
	runtime.LockOSThread()
	if err := d.ring.Enable(); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enable io_uring: %w", err)
	}
	d.ready, d.owner = true, unix.Gettid()
	d.armEvent()
	return nil
}

// Own implements driver.Driver.
func (d *Driver) Own() error {
	if d.ready && unix.Gettid() != d.owner {
		return driver.ErrNotOwner
	}
	return d.own()
}

func (d *Driver) armEvent() {
	sqe := d.ring.NextSQE()
	if sqe == nil {
		d.putOff(retry{})
		return
	}
	sqe.Opcode, sqe.FD, sqe.Len, sqe.OpFlags = ring.OpPollAdd, int32(d.eventFD), ring.PollAddMulti, unix.POLLIN
	sqe.UserData = eventData
	d.publish(1)
}

// Wake implements driver.Driver.
func (d *Driver) Wake() {
	if d.woken.Swap(true) {
		return // one is under way already
	}
	if d.owned {
		d.signal()
		return
	}
	d.poll.interrupt()
}

// Strays implements driver.Driver.
func (d *Driver) Strays() (foreign, late int64) { return d.foreign.Load(), d.late.Load() }

// Threads implements driver.Driver.
func (d *Driver) Threads() int { return len(d.threads) + int(d.waiting.Load()) }

// Close implements driver.Driver. The ring goes first, so that nothing in the kernel can write into what is let go after it.
func (d *Driver) Close() error {
	for !d.owned && !d.entering.CompareAndSwap(false, true) {
		runtime.Gosched() // a kick for a request that is back already; from here on nobody enters
	}
	if d.poll != nil {
		d.poll.close()
	}
	d.lock()
	for _, g := range d.groups { // a callback that has closed us may still give a buffer back
		g.ring.Unregister()
		g.ring = nil
	}
	d.unlock()
	err := d.ring.Close()
	d.fallMu.Lock() // a request that fell back may be delivered already, but its goroutine not be through with the eventfds
	if d.eventFD >= 0 {
		unix.Close(d.eventFD)
	}
	if fd := d.tellFD.Swap(-1); fd >= 0 {
		unix.Close(int(fd))
	}
	d.fallMu.Unlock()
	if d.owned && d.ready {
		runtime.UnlockOSThread()
	}
	d.lock()
	d.slots, d.bufs = nil, nil
	d.unlock()
	return err
}
