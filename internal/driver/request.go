package driver

import (
	"io/fs"
	"sync/atomic"
	"time"
)

// Kind is what a request does. Each driver has a table from Kind to how it is started.
type Kind uint8

// The kinds, by family. The fields of Request that each uses stand beside it.
const (
	Nop Kind = iota // nothing; completes at once

	// op_rw
	Read   // FD, Buf, Off; BufferIndex with FixedBuffer
	Write  // FD, Buf, Off; BufferIndex with FixedBuffer
	Readv  // FD, Ext.Vec, Off
	Writev // FD, Ext.Vec, Off

	// op_socket. A Recv or Send moves Buf, a RecvMsg or SendMsg what Ext.Vec and Ext.Message hold. Sends are over when all is sent.
	Recv    // FD, Buf or Ext.Buffers, Arg = MSG_*; may be Multishot
	Send    // FD, Buf, Arg = MSG_*
	RecvMsg // FD, Ext.Vec, Ext.Message, Arg = MSG_*
	SendMsg // FD, Ext.Vec, Ext.Message, Arg = MSG_*

	Splice // FD → Ext.FD2, Off, Ext.Off2, Len, Arg = SPLICE_F_*

	// op_sync
	Fsync     // FD
	Fdatasync // FD
	Fallocate // FD, Off, Len, Arg = mode
	Truncate  // FD, Len
	Fadvise   // FD, Off, Len, Arg = POSIX_FADV_*

	// op_path: FD is the directory (AT_FDCWD: the current one); N of Open is the new descriptor
	Open   // FD, Ext.Path, Arg = O_*, Arg2 = permission bits; N = descriptor
	Close  // FD
	Stat   // FD, Ext.Path (empty: FD itself), Arg = AT_*; result in *Ext.Stat
	Unlink // FD, Ext.Path, Arg = 0 or AT_REMOVEDIR
	Rename // FD, Ext.Path, Ext.FD2, Ext.Path2, Arg = RENAME_*
	Mkdir  // FD, Ext.Path, Arg2 = permission bits
	Link   // FD, Ext.Path, Ext.FD2, Ext.Path2, Arg = AT_*

	// op_socket, the rest
	Socket   // Arg = domain, Arg2 = type, Len = protocol; N = socket
	Bind     // FD, Ext.Address
	Listen   // FD, Arg = backlog
	Accept   // FD, *Ext.Address = the peer's, if Ext is not nil; N = socket; may be Multishot, Unattached
	Connect  // FD, Ext.Address
	Shutdown // FD, Arg = SHUT_*

	// op_wait
	Poll // FD, Arg = POLL* events, by Linux's numbers; N = events that are ready, and POLLERR, POLLHUP

	// sqe_linux, overlapped_windows
	Raw // FD (Windows), Off (Windows), Ext.Raw

	KindCount // how many there are
)

var kindNames = [KindCount]string{
	Nop: "nop", Read: "read", Write: "write", Readv: "readv", Writev: "writev",
	Recv: "recv", Send: "send", RecvMsg: "recvmsg", SendMsg: "sendmsg", Splice: "splice",
	Fsync: "fsync", Fdatasync: "fdatasync", Fallocate: "fallocate", Truncate: "truncate", Fadvise: "fadvise",
	Open: "open", Close: "close", Stat: "stat", Unlink: "unlink", Rename: "rename", Mkdir: "mkdir", Link: "link",
	Socket: "socket", Bind: "bind", Listen: "listen", Accept: "accept", Connect: "connect", Shutdown: "shutdown",
	Poll: "poll", Raw: "raw",
}

// String is the kind's name as errors and statistics show it.
func (k Kind) String() string {
	if k >= KindCount {
		return "unknown"
	}
	return kindNames[k]
}

// Transfers reports whether N counts bytes against the length of the request's buffers, so that a smaller N is a short
// transfer and ends a chain.
func (k Kind) Transfers() bool { return k >= Read && k <= SendMsg }

// Reads reports whether a transfer's direction is in.
func (k Kind) Reads() bool { return k == Read || k == Readv || k == Recv || k == RecvMsg }

// Flags change how a request is carried out.
type Flags uint8

const (
	// More: another Submit or a Flush follows at once, so the system call may wait for it.
	More Flags = 1 << iota
	// FixedBuffer: Buf lies in registered buffer BufferIndex.
	FixedBuffer
	// Regular: the caller knows that FD is a regular file or block device, so that the request ends by itself.
	Regular
	// Waits: the caller knows that Open may wait (a FIFO for its peer), so that the request must neither block a shared
	// thread nor be answered as O_NONBLOCK would be; or it expects that a Recv will have to wait, so that trying first would be in vain.
	Waits
	// Inline: the submitter would take the result at once, so that Submit should look for it. Without the flag the driver may
	// leave a result that is there already to Wait.
	Inline
	// Multishot: the request may have several results before it is back, see Ext.Shots. A driver that can't comes back with the first.
	Multishot
	// ZeroCopy: a Send or SendMsg is to send from its buffers, if it can, and has them until the system does not need them any more. A driver
	// that can't copies.
	ZeroCopy
	// Unattached: the socket of an Accept is not attached to this driver, so that another one can attach it (Windows: a handle belongs to one port,
	// for good). It makes no difference to drivers that attach nothing.
	Unattached
)

// A Request is one operation. The manager embeds it in an Op. The first group is what the caller asks for and is not
// changed by the driver, the second is the result, the third belongs to whoever is named.
type Request struct {
	Kind        Kind
	Flags       Flags
	BufferIndex uint16
	Arg         uint32
	Arg2        uint32
	FD          Handle
	Buf         []byte
	Off         int64
	Len         int64
	Ext         *Ext // what only some kinds need; nil for the others

	N   int   // bytes, descriptor or events; valid when Err is nil or when data moved before the error
	Err error // nil, a syscall.Errno, ErrCanceled or ErrUnsupported. End of file is N == 0 with a nil Err, unless Empty

	// Empty says that a read has got a message of no bytes, and not the end (Windows: pipes).
	Empty bool

	// ZeroCopied says that a send with ZeroCopy was not copied.
	ZeroCopied bool

	// Asked says that Cancel was called or is about to be. The manager sets it before it calls Driver.Cancel, from whichever
	// goroutine, and lowers it before Submit.
	Asked atomic.Bool

	Owner any     // the manager's: the Op
	State Private // the driver's
}

// Ext holds what path, vectored and raw requests need beside a Request.
type Ext struct {
	FD2         Handle
	Off2        int64
	Path, Path2 string
	Vec         [][]byte
	Stat        *FileStat
	Address     *Address
	Message     *Message
	Buffers     *Buffers // where a Recv without Buf gets its buffer from, when there is something to receive
	Shots       Shots
	Call        string // the name of a Raw request's call, for its error
	// Linux: func(*ring.SQE), fills in everything but the user data. Windows: func(*windows.Overlapped) iocp.Started, makes a call on FD
	// with it.
	Raw      any
	Keep     []any // what a Raw request's addresses point into
	Result   RawResult
	Platform any // the driver's: C strings, iovecs, a statx buffer
}

// Message is what a RecvMsg or SendMsg has beside its buffers.
type Message struct {
	Address *Address // the sender's, if it is wanted; the receiver's, nil of a connected socket
	Control []byte   // received into, or sent: see cmsg(3)
	// Results of a RecvMsg.
	ControlBytes int
	Flags        uint32 // MSG_TRUNC and the like
}

// Shot is one result of a multishot request.
type Shot struct {
	N      int
	Buffer int // the number of the buffer that was taken plus one; zero: none
}

// Shots are the results that a multishot request has had while it stays in flight. Wait appends to List, and has the request in its batch
// if More is set; whoever called Wait takes them all before the next Wait. The request is back when it is in a batch without More:
// N, Err and Taken are its last result then.
type Shots struct {
	List   []Shot
	More   bool
	Listed bool // the driver's: it is in the batch already. Whoever takes the shots lowers it
	Taken  int  // as Shot.Buffer, of the last result
}

// RawResult is what the kernel answered to a Raw request, untranslated.
type RawResult struct {
	Res   int32
	Flags uint32
}

// Private is a driver's bookkeeping for a request in flight. Only the driver touches it, under its own lock, and leaves it
// zero when it gives the request back.
type Private struct {
	Slot      uint32 // where the driver keeps it, plus one; zero: not in flight
	Canceling bool   // Cancel was called
	Linked    bool   // part of a chain that the system runs
	Tries     uint8  // how often the driver started it again by itself
	Next      *Request
	Prev      *Request
}

// Reset makes a request that came back ready for another Submit.
func (r *Request) Reset() {
	r.N, r.Err, r.Empty, r.ZeroCopied = 0, nil, false, false
}

// FileStat is what Stat answers, the same on every platform.
type FileStat struct {
	SizeBytes  int64
	Mode       fs.FileMode
	ModTime    time.Time
	AccessTime time.Time
	ChangeTime time.Time
	BirthTime  time.Time // zero where the file system keeps none
	Inode      uint64
	Device     uint64
	LinkCount  uint64
	UID, GID   uint32
	BlockBytes int64 // preferred size of a transfer
	Blocks     int64 // 512-byte blocks in use
}

// Wanted is how many bytes the request's buffers hold.
func (r *Request) Wanted() int {
	if r.Ext == nil || r.Ext.Vec == nil {
		return len(r.Buf)
	}
	n := 0
	for _, b := range r.Ext.Vec {
		n += len(b)
	}
	return n
}
