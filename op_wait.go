package ringport

import "github.com/ringport/ringport/internal/driver"

// Events that [PollReady] waits for, as poll(2) names them.
const (
	PollIn  = 0x001 // readable, or at its end
	PollPri = 0x002 // exceptional condition
	PollOut = 0x004 // writable
	PollErr = 0x008 // error; always waited for
	PollHup = 0x010 // hung up; always waited for
)

// PollReady waits until h is ready for one of events. The result is the events that are. See poll(2), and [Manager.Watch] for waiting more than
// once.
//
// On Windows, h may be a socket (see WSAPoll), whose close ends the wait with ERROR_INVALID_HANDLE, a file, which is always ready, or a pipe
// of bytes, for PollIn alone: the system tells nobody that a pipe has room. It may also be what is signalled, for PollIn alone: an event, a
// process, a thread, a semaphore, a timer, a console's input; see WaitForSingleObject. As there, waiting uses up the signal of an event that resets
// itself and of a semaphore: if such a wait is cancelled, either the signal is still there or the result says that it was taken. A handle without
// the right SYNCHRONIZE is ERROR_ACCESS_DENIED. Mutexes, which belong to the thread that waits, pipes of messages and all else are
// [ErrUnsupported].
func PollReady(h Handle, events uint32) Op {
	return Op{req: driver.Request{Kind: driver.Poll, FD: h, Arg: events}}
}
