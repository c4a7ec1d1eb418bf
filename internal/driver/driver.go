// Package driver is the whole contract between the manager and a backend: how a request is submitted, cancelled and
// collected, and what each side owes the other. The conformance suite in drivertest runs unchanged on every driver.
//
// # The life of a request
//
// The manager fills in a [Request] and hands it over with [Driver.Submit]. From then until the request comes back
// (Submit returned true, or [Driver.Wait] stored it in a batch) the driver owns the request, its buffers, its paths and
// its result fields: it keeps them reachable, and nobody else writes to them. Every submitted request comes back exactly
// once, with N and Err set. Submit never fails: a request that cannot be started comes back at once with an error.
//
// [Driver.Cancel] may come before, during or after Submit, any number of times and (shared mode) from any goroutine. It
// asks; the answer is the request coming back, with what it did if it did something, with [ErrCanceled] otherwise. A
// Cancel of a request that is not in flight does nothing, but [Request.Asked] was set before it: Submit looks at that as soon
// as Cancel can find the request, so a cancel that comes first is not lost either. (The manager can't look again after Submit:
// by then the request may be back, and in its next life.) A cancel that cannot be passed on at this moment (a full queue) is
// kept and passed on later.
//
// # The two modes
//
// A driver is opened for one of two modes. Shared: every method may be called from any goroutine at any time, except that
// one goroutine at a time is in Wait. Owned (Options.Owned): everything but Wake is called by one goroutine, the owner,
// which is locked to its thread where the driver needs that; nothing is locked, and Submit only queues until the next
// Flush or Wait.
package driver

import (
	"errors"
	"time"
)

// Handle is a descriptor (Unix) or a HANDLE (Windows). A handle made by [RegisteredHandle] names an entry of the
// driver's registered files instead.
type Handle uintptr

// registeredBit is above every descriptor and below the negative ones, on 32-bit systems too.
const registeredBit = Handle(1) << 30

// CurrentDir stands for the current directory where a request takes one: AT_FDCWD on Linux; each driver translates it.
const CurrentDir = ^Handle(99)

// RegisteredHandle is the handle that stands for entry index of the registered files, and no valid handle if there can be no
// such entry.
func RegisteredHandle(index int) Handle {
	if index < 0 || Handle(index) >= registeredBit {
		return ^Handle(0)
	}
	return registeredBit | Handle(index)
}

// Registered reports whether h names a registered file, and which.
func (h Handle) Registered() (index int, ok bool) {
	if h&^(registeredBit-1) != registeredBit {
		return 0, false
	}
	return int(h &^ registeredBit), true
}

// CurrentOffset as a request's Off means: at the handle's own position, as read(2) and write(2) do, and for handles
// that have no position.
const CurrentOffset = -1

// MaxTransferBytes is the most that one request moves: 1 GiB, as os.File caps it (Linux moves at most 0x7ffff000 bytes,
// Windows a DWORD). Larger buffers are cut to it by the manager.
const MaxTransferBytes = 1 << 30

var (
	// ErrCanceled is the result of a request that was cancelled before it did anything, and of a zero-copy send whose connection the cancel has ended
	// to get the buffer back: N is what had been queued then.
	ErrCanceled = errors.New("operation cancelled")
	// ErrUnsupported is the result of a request whose kind this driver cannot do on this system. It matches
	// errors.ErrUnsupported.
	ErrUnsupported error = unsupported("")
	// ErrNotOverlapped says why a handle cannot be attached (Windows): it was opened without FILE_FLAG_OVERLAPPED. Requests on
	// it work nevertheless: the driver blocks a thread for each.
	ErrNotOverlapped = errors.New("the handle was not opened for overlapped I/O")
	// ErrOtherPort says why a handle cannot be attached (Windows): it belongs to a completion port already, and a handle has one
	// for life. Requests on it work nevertheless, as above.
	ErrOtherPort = errors.New("the handle belongs to another completion port")
	// ErrNotOwner says that an owned driver was used by another goroutine than its owner.
	ErrNotOwner = errors.New("the driver belongs to another goroutine")
)

// Unsupported is ErrUnsupported with a reason, and matches it.
func Unsupported(why string) error { return unsupported(why) }

// unsupported is the reason, if it has one.
type unsupported string

func (u unsupported) Error() string {
	const text = "operation not supported by this backend"
	if u == "" {
		return text
	}
	return text + ": " + string(u)
}

func (unsupported) Is(target error) bool {
	return target == errors.ErrUnsupported || target == ErrUnsupported
}

// Options say how a driver is opened.
type Options struct {
	Owned      bool // caller-driven: one owner, no locks
	Depth      int  // submission queue entries; a power of two is best
	MaxThreads int  // most threads that a driver may block in system calls
}

// A Driver starts requests on handles and delivers their completions. See the package comment for who owns what when.
type Driver interface {
	// Name is the backend's name: "io_uring", "pool", "iocp".
	Name() string

	// Attach makes a handle ready for the driver (Windows binds it to the port) or says why it cannot be; Detach undoes
	// it where the system can. Handles are attached once, before their first request; what Open has opened is attached already. A driver
	// that needs neither answers with a bad-descriptor error for what is not an open handle.
	Attach(h Handle) error
	Detach(h Handle) error

	// Submit starts r, and reports true if r is already back: its result is in N and Err, and Wait will not return it.
	// In owned mode it only queues. With Flags&More the system call may be left to the next Submit without it, or Flush.
	Submit(r *Request) (done bool)

	// Here carries out r on the calling goroutine, which it blocks meanwhile, and returns when N and Err are set. It is for callers
	// that would do nothing but wait, on requests that end by themselves: there is no cancel. FD is no registered file. Any goroutine
	// may call it with a Close, even after the driver's own Close; in owned mode all else is the owner's.
	Here(r *Request)

	// SubmitChain starts rs as one linked chain: each starts when the one before it has succeeded in full; after a
	// failure, a short transfer or a cancel the rest come back with ErrCanceled. All come back through Wait. It reports
	// false, having done nothing, if the platform cannot link these requests; the manager then runs the chain itself.
	SubmitChain(rs []*Request) (ok bool)

	// Flush submits what earlier calls queued, and in shared mode sees to it that nothing waits for the next Wait to be submitted.
	Flush() error

	// Own makes the calling goroutine the owner (owned mode) if there is none yet. A driver that can tell answers any other
	// goroutine ErrNotOwner, as Flush and Wait do too.
	Own() error

	// Cancel asks that r come back soon. See the package comment.
	Cancel(r *Request)

	// CancelAll asks the same of every request in flight.
	CancelAll()

	// Wait submits what is queued, waits until a request comes back, Wake was called, or timeout has passed
	// (negative: no limit; zero: it only looks), and stores what came back in batch. It may return early with 0.
	Wait(batch []*Request, timeout time.Duration) (n int, err error)

	// Wake makes the current or else the next Wait return. It may be called from any goroutine in both modes.
	Wake()

	// Pollable is a handle that polls readable while Wait has something to return; ok is false where there is none.
	Pollable() (h Handle, ok bool)

	// RegisterBuffers and RegisterFiles replace the registered buffers and files (nil: none) that Flags&FixedBuffer and
	// RegisteredHandle refer to. The driver keeps the buffers reachable.
	RegisterBuffers(bufs [][]byte) error
	RegisterFiles(hs []Handle) error

	// AddBuffers lets requests take buffers from b, until DropBuffers; nothing may be in flight on it then. GiveBack makes the buffer that
	// a result names (Shot.Buffer) one to be taken again. A request that finds none waits for that.
	AddBuffers(b *Buffers) error
	DropBuffers(b *Buffers) error
	GiveBack(b *Buffers, buffer int)

	// Threads is how many threads the driver itself keeps blocked or ready at this moment.
	Threads() int

	// Strays is how many completions brought no request back: foreign ones, of what this driver had not started, and late ones, of requests
	// that had come back in another way.
	Strays() (foreign, late int64)

	// Close releases the ring, port or threads. Nothing is in flight and nobody is in Wait. Call once.
	Close() error
}

// Feature is something a backend can or cannot do here, for the doctor command and for Stats.
type Feature struct {
	Name      string
	Available bool
	Note      string
}

// UnavailableError says that a backend cannot be had here, and why.
type UnavailableError struct {
	Backend string // "io_uring", …
	Reason  string // in words: what was tried, what would help
	Err     error  // the system's own answer, if there is one
}

// Error names the backend and the reason.
func (e *UnavailableError) Error() string {
	s := e.Backend + " is not available: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the system's own answer.
func (e *UnavailableError) Unwrap() error { return e.Err }
