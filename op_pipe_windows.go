package ringport

import (
	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
)

// ErrMoreData is ERROR_MORE_DATA, beside the bytes that were read, from a pipe that is read in message mode (PIPE_READMODE_MESSAGE): the
// message is longer than the buffer. The rest of it is what the next read gets. [PeekPipe] tells how much that is.
var ErrMoreData error = windows.ERROR_MORE_DATA

// ConnectPipe waits for a client of h, an instance of a named pipe (CreateNamedPipe) that listens, and is done at once if one is there
// already (ERROR_PIPE_CONNECTED). Its error is ERROR_NO_DATA if the client has come and gone: [DisconnectPipe], and connect again.
// Cancelling it leaves the instance listening. See ConnectNamedPipe.
func ConnectPipe(h Handle) Op {
	return Overlapped("ConnectNamedPipe", h, 0, func(ov *windows.Overlapped) Started {
		err := windows.ConnectNamedPipe(windows.Handle(h), ov)
		if err == windows.ERROR_PIPE_CONNECTED { // a success that posts no packet
			return Done(0)
		}
		return Unchecked(err)
	})
}

// DisconnectPipe ends the connection of h, an instance of a named pipe. From then on the client's reads end with io.EOF and its writes fail with
// ERROR_PIPE_NOT_CONNECTED, until it closes its end. What it has not read is lost: [Fsync] waits until it has read everything. What is in
// flight on h ends with an error. Then the next client can be waited for. See
// DisconnectNamedPipe.
func DisconnectPipe(h Handle) Op {
	return Overlapped("DisconnectNamedPipe", h, 0, func(*windows.Overlapped) Started {
		return atOnce(0, windows.DisconnectNamedPipe(windows.Handle(h)))
	})
}

// PipePeek is what [PeekPipe] finds out.
type PipePeek struct {
	AvailableBytes int // in the pipe, all messages together
	LeftBytes      int // of the first message, after those that were copied; 0 if the pipe's type is bytes
}

// PeekPipe copies to buf what a read of h, a pipe, would get, and leaves it there. The result is the number of bytes, 0 if there are none:
// it waits for nothing, unless h was not opened for overlapped I/O and somebody reads from it. Once the other end is gone and everything was
// read, its error is ERROR_BROKEN_PIPE. Info gets the rest, if it is not nil. See PeekNamedPipe.
func PeekPipe(h Handle, buf []byte, info *PipePeek) Op {
	buf = capped(buf)
	return Overlapped("PeekNamedPipe", h, 0, func(*windows.Overlapped) Started {
		var n, available, left uint32
		err := win32.PeekNamedPipe(windows.Handle(h), firstByte(buf), uint32(len(buf)), &n, &available, &left)
		if err == nil && info != nil {
			*info = PipePeek{AvailableBytes: int(available), LeftBytes: int(left)}
		}
		return atOnce(int(n), err)
	})
}

// TransactPipe writes a message to h, a pipe of messages that is read in message mode, and reads the answer, in one call. The result is the
// length of the answer, with [ErrMoreData] if it is longer than read. It fails with ERROR_PIPE_BUSY, having written nothing, while there is
// an unread message in the pipe. See TransactNamedPipe.
func TransactPipe(h Handle, write, read []byte) Op {
	write, read = capped(write), capped(read)
	return Overlapped("TransactNamedPipe", h, 0, func(ov *windows.Overlapped) Started {
		return Unchecked(win32.TransactNamedPipe(windows.Handle(h), firstByte(write), uint32(len(write)),
			firstByte(read), uint32(len(read)), nil, ov))
	})
}

// atOnce reports a call that takes no OVERLAPPED, and so is over when it returns.
func atOnce(n int, err error) Started {
	if err != nil {
		return Failed(err)
	}
	return Done(n)
}

// firstByte is where p begins, nil if it is empty.
func firstByte(p []byte) *byte {
	if len(p) == 0 {
		return nil
	}
	return &p[0]
}
