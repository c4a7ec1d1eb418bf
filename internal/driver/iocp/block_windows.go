package iocp

import (
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// block is a request in flight. Everything but the worker's part belongs to the driver's lock.
type block struct {
	// ov is first only so that the two addresses are one in a debugger; blocks are found by a table. Rule: the system writes to ov
	// from the call that names it until its packet; the block is pinned from its making to the driver's Close.
	ov windows.Overlapped

	slot  uint32
	where place
	r     *driver.Request
	target
	on windows.Handle // what its call is made on: h, or AFD's

	// The packet may come while the call that it is for has not yet returned.
	early       bool
	earlyStatus windows.NTStatus
	earlyBytes  uint32

	poll     win32.AFDPoll // the system's until the completion, as ov
	bounce   []byte        // one buffer for a request that has several: part of kept
	kept     []byte        // stays with the block, see keepRoom
	counted  int           // what Driver.kept has of it
	segments []uint64      // the pages of a request that has several buffers, and a zero
	pins     pins          // the buffers
	opened   *traits       // Open, Socket: what was found out about the new handle
	message  message       // a request of Recv's and Send's family
	incoming *incoming     // Accept: made when first needed

	prev, next *block // in the list that it is in: staged, unanswered, or a lane's queue
	unanswered bool   // it is in Driver.unanswered
	silent     bool   // the system was done with it at the last look, and its packet was not there
	users      int    // who use it without the lock: it must not begin a new life
	spoiled    bool   // it never begins a new life: its worker's start function has not returned

	owed *driver.Ext // limbo: the system may still use what this refers to

	// The worker's part: workers.mu.
	job          job
	lane         *lane
	turn         uint32 // counts the block's jobs
	canceling    bool
	interrupting bool           // a goroutine interrupts it, again and again
	stop         chan struct{}  // closed by a cancel; nil: it waits for nothing that is ours
	thread       windows.Handle // the one that is in a call which can be interrupted; 0: none
	event        windows.Handle // made when first needed, kept until Close
	waiter       *waiter        // who waits for object
	object       windows.Handle // a duplicate of the handle: its number may be another's before the wait begins

	packet windows.Handle // a wait completion packet: as event
}

// place is where a block is, and so who brings its request back.
type place uint8

const (
	free       place = iota
	staged           // owned mode: nothing has been called yet
	submitting       // its overlapped call has not returned: the caller
	pending          // the system has it: its packet
	posted           // it is done: the packet that the driver has posted for it
	onWorker         // a worker has it: the packet that the worker posts
	here             // the caller of Here carries it out
	limbo            // its request is back, and a packet may still come: that frees the block, and nothing else does
)

// slabBlocks is how many blocks are made at a time.
const slabBlocks = 64

// take makes r a request in flight on t. The lock is held, as in all that follow.
func (d *Driver) take(r *driver.Request, where place, t target) *block {
	if len(d.spare) == 0 {
		d.makeBlocks()
	}
	b := d.spare[len(d.spare)-1]
	d.spare = d.spare[:len(d.spare)-1]
	b.where, b.r, b.target, b.on = where, r, t, t.h
	if t.file != nil {
		t.file.uses++
	}
	r.State.Slot = b.slot
	return b
}

// makeBlocks makes more blocks. Rule: the address of an OVERLAPPED is used as a number, in d.byAddress, to compare with what a packet says; that it stays
// the same, and nobody else's, is because the block is pinned and reachable until Close.
func (d *Driver) makeBlocks() {
	slab := make([]block, slabBlocks)
	d.pin.Pin(&slab[0])
	for i := range slab {
		b := &slab[i]
		d.blocks = append(d.blocks, b)
		b.slot = uint32(len(d.blocks))
		d.byAddress[uintptr(unsafe.Pointer(&b.ov))] = b
	}
	for i := range slab { // the first is the next to be taken: see CancelAll
		d.spare = append(d.spare, &slab[len(slab)-1-i])
	}
}

// release ends b's request, which is then the caller's to give back. Its packet has come, or there is none.
func (d *Driver) release(b *block) *driver.Request {
	r := d.detach(b)
	d.free(b)
	return r
}

// free makes b ready for its next life, if it may have one, as soon as nobody uses it.
func (d *Driver) free(b *block) {
	b.where = free
	if b.spoiled {
		b.where = limbo
	} else if b.users == 0 {
		d.spare = append(d.spare, b)
	}
}

// use keeps b from a new life while the lock is not held, until unuse.
func (b *block) use() { b.users++ }

// unuse ends what use began.
func (d *Driver) unuse(b *block) {
	if b.users--; b.users == 0 && b.where == free {
		d.spare = append(d.spare, b)
	}
}

// detach lets go of the request.
func (d *Driver) detach(b *block) *driver.Request {
	r := b.r
	r.State = driver.Private{}
	d.answered(b)
	b.pins.unpin()
	b.message.clear()
	d.keepRoom(b)
	if f := b.file; f != nil {
		f.uses--
		f.closeUnused()
	}
	b.r, b.opened, b.early, b.target = nil, nil, false, target{}
	return r
}

// asked reports whether b's request is to end.
func (b *block) asked() bool { return b.r.State.Canceling || b.r.Asked.Load() }

// list is a queue of blocks, linked through themselves. A block is in one list at most.
type list struct{ head, tail *block }

func (l *list) push(b *block) {
	b.prev, b.next = l.tail, nil
	if l.tail == nil {
		l.head = b
	} else {
		l.tail.next = b
	}
	l.tail = b
}

func (l *list) remove(b *block) {
	if b.prev == nil {
		l.head = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		l.tail = b.prev
	} else {
		b.next.prev = b.prev
	}
	b.prev, b.next = nil, nil
}

func (l *list) pop() *block {
	b := l.head
	if b != nil {
		l.remove(b)
	}
	return b
}
