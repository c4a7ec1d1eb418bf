package ringport

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"

	"github.com/ringport/ringport/internal/driver"
)

// OpError is the error of every operation that failed: what was done, to what, and why. errors.Is looks through it, so
// that os.ErrNotExist, os.ErrClosed, context.Canceled, a syscall.Errno and the like are found. errors.As also finds an
// *fs.PathError in it, as os.File's users expect. Older ways to ask do not look through it: os.IsNotExist and its kin, but for os.IsTimeout, and
// a type assertion to *fs.PathError say no.
type OpError struct {
	Op   string // "read", "open", …
	Name string // the file's or handle's name
	Err  error  // the cause: a syscall.Errno, one of this package's errors, a context's error
}

// Error is "op name: cause", as os does it.
func (e *OpError) Error() string { return e.Op + " " + e.Name + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a deadline that passed, as net.Error and os.IsTimeout ask.
func (e *OpError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Is lets errors.Is find os.ErrClosed where the system says that the handle was closed under the operation, and, on Windows, what other systems
// call Winsock's error: syscall.ECONNRESET is found in WSAECONNRESET.
func (e *OpError) Is(target error) bool {
	return target == os.ErrClosed && saysClosed(e.Err) || elsewhere(e.Err, target)
}

// As lets errors.As find an *fs.PathError.
func (e *OpError) As(target any) bool {
	p, ok := target.(**fs.PathError)
	if ok {
		*p = &fs.PathError{Op: e.Op, Path: e.Name, Err: e.Err}
	}
	return ok
}

// sentinel is an error of this package that also matches a standard one.
type sentinel struct {
	text string
	is   error
}

func (s *sentinel) Error() string        { return s.text }
func (s *sentinel) Is(target error) bool { return s.is != nil && target == s.is }

var (
	// ErrManagerClosed says that the manager is closed, or was closed while the operation was in flight. It matches
	// os.ErrClosed.
	ErrManagerClosed error = &sentinel{"manager is closed", os.ErrClosed}
	// ErrCanceled says that Cancel ended the operation, or that an earlier operation of its chain failed. It matches
	// context.Canceled.
	ErrCanceled error = &sentinel{"operation cancelled", context.Canceled}
	// ErrMultishot says that an operation with several results was given to Do, DoChain or StartChain, which wait for one.
	ErrMultishot = errors.New("operation has several results: use Start")
	// ErrInFlight says that an Op was started again, or changed hands, before it was done.
	ErrInFlight = errors.New("operation is in flight already")
	// ErrNilCallback says that Start got no callback.
	ErrNilCallback = errors.New("nil callback")
	// ErrNegativeOffset says that an offset is negative and not CurrentOffset. It matches fs.ErrInvalid.
	ErrNegativeOffset error = &sentinel{"negative offset", fs.ErrInvalid}
	// ErrInvalidOp says that an Op lacks what its kind needs: it was not made by a constructor of this package, SQE or
	// Overlapped got no function, RecvMany no buffers that the manager can use, or what accepts nothing was made Unattached.
	ErrInvalidOp error = &sentinel{"invalid operation", fs.ErrInvalid}
	// ErrNotOwner says that a caller-driven manager was used by another goroutine than its owner. Io_uring tells, by the
	// thread, from all but Start, Cancel and the like, which only queue; the pool and completion ports cannot, so that two goroutines at a time do
	// damage there.
	ErrNotOwner = errors.New("caller-driven manager used by a goroutine that does not own it")
	// ErrNotCallerDriven says that Step was called on a threaded manager, which steps by itself.
	ErrNotCallerDriven = errors.New("manager is threaded: it steps by itself")
	// ErrNotOverlapped says that [Manager.Attach] has refused a handle (Windows) because it was opened without
	// FILE_FLAG_OVERLAPPED, as most of package os's are, or does not say how. Operations on it work nevertheless: a thread waits
	// for each.
	ErrNotOverlapped = driver.ErrNotOverlapped
	// ErrOtherPort says that [Manager.Attach] has refused a handle (Windows) because it belongs to another completion port, of
	// another manager or of the Go runtime, and a handle has one for life. Operations on it work nevertheless, as above.
	ErrOtherPort = driver.ErrOtherPort
	// ErrUnsupported says that this backend cannot do the operation on this system. It matches errors.ErrUnsupported.
	ErrUnsupported = driver.ErrUnsupported
)

// UnavailableError says that a backend asked for by name cannot be had on this system, and why. New returns it as
// *UnavailableError, wrapped. Its fields:
//
//	Backend string // BackendIOUring, …
//	Reason  string // in words: what was tried, what would help
//	Err     error  // the system's own answer, which errors.Is finds too; nil if there is none
//
// Error puts the three into one line; Unwrap returns Err.
type UnavailableError = driver.UnavailableError

// ConfigError says which field of a Config, or which environment variable, has a value that cannot be used.
type ConfigError struct {
	Field  string // "Depth", "Backend", "RINGPORT_BACKEND", …
	Value  string
	Reason string // what would be right
}

// Error names field, value and what would be right.
func (e *ConfigError) Error() string {
	return "ringport: " + e.Field + " is " + strconv.Quote(e.Value) + ": " + e.Reason
}

// Is matches fs.ErrInvalid.
func (e *ConfigError) Is(target error) bool { return target == fs.ErrInvalid }
