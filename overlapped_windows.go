package ringport

import (
	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/iocp"
)

// Started is what the start function of an [Overlapped] operation reports of the call that it made: [Unchecked], which is right for nearly
// every call, or, of one that returns something else than an error, [Done], [Pending], [Incomplete] or [Failed]. It has
// neither fields nor methods for others.
type Started = iocp.Started

// Done reports a call that is over, and n as its result.
func Done(n int) Started { return iocp.Done(n) }

// Pending reports a call that the system will complete later, as ERROR_IO_PENDING says.
func Pending() Started { return iocp.Pending() }

// Incomplete reports a call that has begun and is not over, as ERROR_IO_INCOMPLETE says. Its completion is waited for.
func Incomplete() Started { return iocp.Incomplete() }

// Failed reports that the call was refused, so that nothing is in progress. The operation's error is err.
func Failed(err error) Started { return iocp.Failed(err) }

// Unchecked leaves it to the manager to find out how a call stands, from the error that it returned (nil, a syscall.Errno such as
// ERROR_IO_PENDING, or an NTSTATUS of a native call, wrapped or not) and the status in its OVERLAPPED.
func Unchecked(err error) Started { return iocp.Unchecked(err) }

// ErrNoReturn says that the start function of an [Overlapped] operation did not return, but panicked or called runtime.Goexit.
var ErrNoReturn = iocp.ErrNoReturn

// Overlapped is the escape hatch: an operation on h by any call that takes an OVERLAPPED, DeviceIoControl for instance. Start makes the
// call, with the OVERLAPPED that it is given, each time the operation is started, and reports how the call stands. Call is its name, which the
// error shows as the operation's. The result is the number of bytes that the system reports, and its error untranslated, but for
// ERROR_HANDLE_EOF, which is io.EOF, and a cancel's ERROR_OPERATION_ABORTED, whose cause is reported as for all operations. Off is the file
// offset in the OVERLAPPED, 0 or [CurrentOffset] for what has none. [Stats] counts it as "raw".
//
// Memory that the call is given is written to until the completion. It must be on the heap and reachable until then, as all variables that
// start refers to are; their address as a uintptr does not count. Start must not use the OVERLAPPED otherwise, set its event, or
// keep it. It is called by whoever submits the operation (a caller-driven manager submits in Step and Flush), or, on a handle that could not be
// attached (see [Manager.Attach]), by a thread that waits for its result: there, it may be a handle that was not opened for overlapped I/O,
// and start is not called if the operation is cancelled first. A handle that was opened elsewhere is to be attached before.
//
// A panic in start goes to whoever called it: to the caller of Start or Do, so that the operation has not begun, or of Step or Flush, so that
// it is over, with [ErrNoReturn]. On a goroutine of the manager's it ends the program, as in a callback. The same goes for runtime.Goexit, but
// that it ends no program. If the call had been made, it is cancelled, and Close waits until the system is done with its memory.
func Overlapped(call string, h Handle, off int64, start func(ov *windows.Overlapped) Started) Op {
	ext := &driver.Ext{Call: call}
	if start != nil { // a nil function would not be nil in ext.Raw
		ext.Raw = start
	}
	return Op{req: driver.Request{Kind: driver.Raw, FD: h, Off: off, Ext: ext}}
}
