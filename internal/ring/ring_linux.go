// Package ring is raw io_uring: set-up, mapped queues, enter, register and probe. It has no policy: no locks, no idea of
// requests, and it reports what the kernel answered. See io_uring(7) and io_uring_setup(2).
//
// A Ring is not safe for concurrent use, with these exceptions that the kernel's interface allows: one goroutine may
// write submissions (NextSQE, Publish) while another reads completions (Peek, Advance) and others call Enter.
package ring

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ring is one io_uring instance.
type Ring struct {
	FD       int
	Flags    uint32 // set-up flags that the kernel took
	Features uint32

	sqHead, sqTail, sqFlags *uint32 // shared with the kernel
	cqHead, cqTail          *uint32
	cqOverflow              *uint32
	sqMask, cqMask          uint32
	sqEntries, cqEntries    uint32
	sqes                    []SQE
	cqes                    []CQE

	tail   uint32 // of the submission queue: written, not all of it published
	cqNext uint32 // head of the completion queue: read, not all of it given back

	sqMem, sqeMem []byte
}

// Options for Open.
type Options struct {
	Entries   uint32 // submission queue entries, rounded up to a power of two
	CQEntries uint32 // completion queue entries; zero: twice Entries
	// Owned asks for SINGLE_ISSUER and DEFER_TASKRUN, disabled until Enable is called on the owner's thread. Without
	// it the ring is shared and asks for COOP_TASKRUN.
	Owned bool
}

// flagSets are what Open asks for, best first: a kernel that does not know a flag answers EINVAL, and then the next set is
// tried. NO_SQARRAY came with Linux 6.6, DEFER_TASKRUN with 6.1, SINGLE_ISSUER with 6.0, COOP_TASKRUN with 5.19,
// SUBMIT_ALL with 5.18, R_DISABLED with 5.10, CLAMP with 5.6.
func flagSets(owned bool) []uint32 {
	if owned {
		base := uint32(SetupClamp | SetupRDisabled)
		return []uint32{
			base | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun | SetupNoSQArray,
			base | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun,
			base | SetupSubmitAll | SetupSingleIssuer | SetupCoopTaskrun,
			base | SetupSubmitAll | SetupCoopTaskrun,
			base | SetupSubmitAll,
			base,
		}
	}
	base := uint32(SetupClamp)
	return []uint32{
		base | SetupSubmitAll | SetupCoopTaskrun | SetupNoSQArray,
		base | SetupSubmitAll | SetupCoopTaskrun,
		base | SetupSubmitAll,
		base,
	}
}

// Open sets up a ring with the best flags that this kernel takes, and maps its queues. The error is the kernel's errno:
// EPERM where io_uring is forbidden, ENOSYS where it does not exist, ENOMEM for the memlock limit before Linux 5.12.
func Open(o Options) (*Ring, error) { return open(o, setup) }

// setup is io_uring_setup(2).
func setup(entries uint32, p *Params) (fd int, errno unix.Errno) {
	v, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	return int(v), errno
}

func open(o Options, setup func(entries uint32, p *Params) (fd int, errno unix.Errno)) (*Ring, error) {
	var p Params
	var fd int
	var errno unix.Errno
	for _, flags := range flagSets(o.Owned) {
		p = Params{Flags: flags}
		if o.CQEntries != 0 {
			p.Flags |= SetupCQSize
			p.CQEntries = o.CQEntries
		}
		if fd, errno = setup(o.Entries, &p); errno != unix.EINVAL {
			break
		}
	}
	if errno != 0 {
		return nil, errno
	}
	r := &Ring{FD: fd, Flags: p.Flags, Features: p.Features}
	if err := r.mapQueues(&p); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// mapQueues maps the rings that the kernel described in p. Kernels without SINGLE_MMAP (before 5.4) are not supported.
func (r *Ring) mapQueues(p *Params) error {
	if p.Features&FeatSingleMmap == 0 {
		return unix.ENOSYS
	}
	size := max(p.SQOff.Array+p.SQEntries*4, p.CQOff.CQEs+p.CQEntries*uint32(unsafe.Sizeof(CQE{})))
	mem, err := unix.Mmap(r.FD, offSQRing, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map the queues: %w", err)
	}
	r.sqMem = mem
	r.sqeMem, err = unix.Mmap(r.FD, offSQEs, int(p.SQEntries)*int(unsafe.Sizeof(SQE{})),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map the submission entries: %w", err)
	}
	// Rule: the mapping is not Go memory, lives until Close unmaps it, and the kernel aligns every offset.
	at := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&mem[off])) }
	r.sqHead, r.sqTail, r.sqFlags = at(p.SQOff.Head), at(p.SQOff.Tail), at(p.SQOff.Flags)
	r.cqHead, r.cqTail, r.cqOverflow = at(p.CQOff.Head), at(p.CQOff.Tail), at(p.CQOff.Overflow)
	r.sqEntries, r.cqEntries = *at(p.SQOff.RingEntries), *at(p.CQOff.RingEntries)
	r.sqMask, r.cqMask = r.sqEntries-1, r.cqEntries-1
	r.sqes = unsafe.Slice((*SQE)(unsafe.Pointer(&r.sqeMem[0])), r.sqEntries)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(&mem[p.CQOff.CQEs])), r.cqEntries)
	r.tail, r.cqNext = *r.sqTail, *r.cqHead
	if p.Flags&SetupNoSQArray == 0 {
		// The index array names entry i in place i for good, so that entries are used in ring order.
		array := unsafe.Slice(at(p.SQOff.Array), r.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	return nil
}

// SQEntries and CQEntries are the sizes of the queues.
func (r *Ring) SQEntries() int { return int(r.sqEntries) }

// CQEntries is the size of the completion queue.
func (r *Ring) CQEntries() int { return int(r.cqEntries) }

// Room is how many submissions fit before the kernel must take some.
func (r *Ring) Room() int { return int(r.sqEntries - (r.tail - atomic.LoadUint32(r.sqHead))) }

// NextSQE returns the next free submission, all zero, or nil if the queue is full. The kernel sees it after
// Publish.
func (r *Ring) NextSQE() *SQE {
	if r.tail-atomic.LoadUint32(r.sqHead) >= r.sqEntries {
		return nil
	}
	sqe := &r.sqes[r.tail&r.sqMask]
	r.tail++
	*sqe = SQE{}
	return sqe
}

// Publish lets the kernel see every submission handed out so far.
func (r *Ring) Publish() { atomic.StoreUint32(r.sqTail, r.tail) }

// Unpublished reports whether there are submissions that the kernel does not see yet.
func (r *Ring) Unpublished() bool { return r.tail != *r.sqTail }

// Pending is how many published submissions the kernel has not taken yet.
func (r *Ring) Pending() uint32 { return atomic.LoadUint32(r.sqTail) - atomic.LoadUint32(r.sqHead) }

// Peek returns the next completion, or nil. It stays valid until Release.
func (r *Ring) Peek() *CQE {
	if r.cqNext == atomic.LoadUint32(r.cqTail) {
		return nil
	}
	return &r.cqes[r.cqNext&r.cqMask]
}

// Next steps over the completion that Peek returned.
func (r *Ring) Next() { r.cqNext++ }

// Release gives the completions stepped over back to the kernel.
func (r *Ring) Release() { atomic.StoreUint32(r.cqHead, r.cqNext) }

// HasCompletions reports whether Peek would return one. It may be called from any goroutine, and is then a hint.
func (r *Ring) HasCompletions() bool {
	return atomic.LoadUint32(r.cqHead) != atomic.LoadUint32(r.cqTail)
}

// NeedsEnter reports whether the kernel holds completions back until the next Enter with EnterGetEvents: because the
// completion queue overflowed, or because task work waits.
func (r *Ring) NeedsEnter() bool {
	return atomic.LoadUint32(r.sqFlags)&(sqCQOverflow|sqTaskrun) != 0
}

// Overflowed is how many completions the kernel dropped; with FeatNoDrop it stays zero.
func (r *Ring) Overflowed() uint32 { return atomic.LoadUint32(r.cqOverflow) }

// getEventsArg is struct io_uring_getevents_arg.
type getEventsArg struct {
	sigmask   uint64
	sigmaskSz uint32
	minWait   uint32
	ts        uint64
}

// Submit tells the kernel to take n submissions, and with EnterGetEvents in flags to flush what it holds back. It does not
// wait and so goes without telling the scheduler. See io_uring_enter(2).
func (r *Ring) Submit(n uint32, flags uint32) (taken int, errno unix.Errno) {
	t, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.FD), uintptr(n), 0,
		uintptr(flags), 0, 0)
	return int(t), errno
}

// SubmitAndWait tells the kernel to take n submissions and waits for want completions, at most until the timeout, which is
// relative (nil: no limit). The wait ends with ETIME after the timeout and EINTR after a signal.
func (r *Ring) SubmitAndWait(n, want uint32, timeout *unix.Timespec) (taken int, errno unix.Errno) {
	arg := getEventsArg{}
	flags := uint32(EnterGetEvents)
	if timeout == nil {
		t, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.FD), uintptr(n), uintptr(want),
			uintptr(flags), 0, 0)
		return int(t), errno
	}
	// Rule: arg and timeout stay where they are during the call, since a goroutine's stack does not move while it is in
	// a system call; the address goes through an integer because the structure is the kernel's.
	arg.ts = uint64(uintptr(unsafe.Pointer(timeout)))
	t, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.FD), uintptr(n), uintptr(want),
		uintptr(flags|EnterExtArg), uintptr(unsafe.Pointer(&arg)), unsafe.Sizeof(arg))
	return int(t), errno
}

// Close closes the descriptor and unmaps the queues. The kernel cancels what is in flight, and goes on writing into its
// buffers for as long as that takes: drain first.
func (r *Ring) Close() error {
	err := unix.Close(r.FD)
	for _, mem := range [][]byte{r.sqMem, r.sqeMem} {
		if mem != nil {
			if e := unix.Munmap(mem); err == nil {
				err = e
			}
		}
	}
	r.sqMem, r.sqeMem, r.sqes, r.cqes = nil, nil, nil, nil
	return err
}
