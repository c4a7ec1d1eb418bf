package ringport

import (
	"io"
	"strconv"
	"sync/atomic"

	"github.com/ringport/ringport/internal/driver"
)

// Handle is a descriptor (Unix) or a HANDLE (Windows), or what [RegisteredFile] returns. It is an unsigned integer, so that
// Handle(f.Fd()) makes one of an os.File's. Its method Registered reports whether it is RegisteredFile's, and of which index.
type Handle = driver.Handle

const (
	// CurrentOffset, as an offset, means the handle's own position, as read(2) and write(2) use it. It is the only one
	// for what has no position: pipes, terminals, sockets. Another one there is ESPIPE on the pool, ERROR_SEEK_ON_DEVICE on
	// Windows; io_uring ignores it. On Windows a file that was opened for overlapped I/O has one too, which its
	// duplicates share and which other overlapped calls, package os's among them, neither use nor move. A transfer at it is made by
	// a thread, one at a time for each manager: an explicit offset is cheaper.
	CurrentOffset = driver.CurrentOffset
	// CurrentDir, as a directory, means the process's current directory (AT_FDCWD).
	CurrentDir = driver.CurrentDir
	// MaxTransferBytes is the most that one operation moves. Larger buffers are cut to it; what is left is the caller's to
	// move with another operation, as after any short transfer. File does that by itself.
	MaxTransferBytes = driver.MaxTransferBytes
)

// RegisteredFile is the handle that stands for entry index of the files given to [Manager.RegisterFiles].
func RegisteredFile(index int) Handle { return driver.RegisteredHandle(index) }

// The states of an Op. Only an idle or done one can be started, and exactly one goroutine wins the step from active to
// done: the one that saw its completion.
const (
	opIdle uint32 = iota
	opActive
	opOwed // it is over, and its callback has not been called yet
	opDone
)

// Op is one operation: a value, made by a constructor such as [Read], run by [Manager.Do] or [Manager.Start], and reusable
// when it is done, by starting it again or by assigning another one to it. From its start to its completion it belongs to
// the manager: it must not be copied, changed or assigned to, and its buffers must not be touched. The zero Op is a no-op, as [Nop].
type Op struct {
	noCopy noCopy // at the end it would take 8 bytes
	req    driver.Request

	state    uint32                // opIdle, opActive, opOwed, opDone
	cause    atomic.Pointer[error] // why it was cancelled; the first one counts
	waiter   *waiter               // Do waits here, or nil
	callback func(op *Op)          // Start's, or nil
	chain    *chain                // the rest of a chain that the manager runs itself
	multi    *multishot            // of an operation with several results
	span     atomic.Pointer[span]  // while it is observed
	name     string
}

// noCopy makes go vet complain about copies of a started Op.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// waiter is what a goroutine in Do sleeps on.
type waiter struct{ ch chan struct{} }

// Named sets the name that the operation's error shows, instead of the handle's number, and returns op.
func (op *Op) Named(name string) *Op {
	op.name = name
	return op
}

// Result returns what a finished operation did: bytes, a descriptor, or events, as the constructor says, and its error: nil,
// io.EOF, or an *OpError. Bytes that moved are reported even beside an error. A read that got an empty message from a pipe (Windows) has
// neither bytes nor an error. It means nothing before the operation is done, nor after a start that was refused.
func (op *Op) Result() (n int, err error) {
	if op.multi != nil {
		return op.multi.result(op)
	}
	return op.result(op.req.N, op.req.Err)
}

// result is what N and Err of the request, or of a part of it, mean.
func (op *Op) result(n int, err error) (int, error) {
	r := &op.req
	if err == nil {
		if n == 0 && !r.Empty && (r.Kind == driver.Read || r.Kind == driver.Readv || r.Kind == driver.Recv) &&
			(r.Wanted() > 0 || r.Ext != nil && r.Ext.Buffers != nil) {
			return 0, io.EOF
		}
		return n, nil
	}
	if err == driver.ErrCanceled {
		err = ErrCanceled
		if cause := op.cause.Load(); cause != nil {
			err = *cause
		}
	}
	return n, op.fail(err)
}

// fail is err as this operation's error.
func (op *Op) fail(err error) error { return &OpError{Op: op.what(), Name: op.displayName(), Err: err} }

// what is what the operation does, "read" for instance.
func (op *Op) what() string {
	if ext := op.req.Ext; ext != nil && ext.Call != "" {
		return ext.Call
	}
	return op.req.Kind.String()
}

func (op *Op) displayName() string {
	switch {
	case op.name != "":
		return op.name
	case op.req.Ext != nil && (op.req.Ext.Path != "" || namesPath[op.req.Kind]):
		return op.req.Ext.Path // "", too, as package os has it
	}
	if i, ok := op.req.FD.Registered(); ok {
		return "registered file " + strconv.Itoa(i)
	}
	return "handle " + strconv.Itoa(int(op.req.FD))
}

// namesPath marks the kinds that are about a path even if it is empty, which others take for the handle itself.
var namesPath = [driver.KindCount]bool{
	driver.Open: true, driver.Unlink: true, driver.Rename: true, driver.Mkdir: true, driver.Link: true,
}

// ask records why op is to be cancelled. The first cause counts.
func (op *Op) ask(cause error) {
	op.cause.CompareAndSwap(nil, &cause)
	op.req.Asked.Store(true)
}

// check says what is wrong with an operation that is about to start on m, nil if nothing is.
func (op *Op) check(m *Manager) error {
	r := &op.req
	switch {
	case r.Off < CurrentOffset:
		return ErrNegativeOffset
	case r.Kind >= driver.KindCount, needsExt[r.Kind] && r.Ext == nil, r.Kind == driver.Raw && r.Ext.Raw == nil,
		op.multi != nil && r.Kind == driver.Recv && !op.multi.bufs.of(m):
		return ErrInvalidOp
	}
	return nil
}

// needsExt marks the kinds that cannot do without Request.Ext.
var needsExt = [driver.KindCount]bool{
	driver.Readv: true, driver.Writev: true, driver.Splice: true, driver.Open: true, driver.Stat: true,
	driver.RecvMsg: true, driver.SendMsg: true, driver.Bind: true, driver.Connect: true,
	driver.Unlink: true, driver.Rename: true, driver.Mkdir: true, driver.Link: true, driver.Raw: true,
}
