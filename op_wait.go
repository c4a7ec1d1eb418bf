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

// PollReady waits until h is ready for one of events. The result is the events that are. See poll(2). On Windows, h may be a socket (see
// WSAPoll), whose close ends the wait with ERROR_INVALID_HANDLE, a file, which is always ready, or a pipe of bytes, for PollIn alone: the
// system tells nobody that a pipe has room. Pipes of messages and all else are [ErrUnsupported] there.
func PollReady(h Handle, events uint32) Op {
	return Op{req: driver.Request{Kind: driver.Poll, FD: h, Arg: events}}
}
