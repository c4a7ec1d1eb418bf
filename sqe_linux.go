package ringport

import (
	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// RawSQE is a submission entry as the kernel defines it (struct io_uring_sqe), under the kernel's names. Its fields:
//
//	Opcode   uint8
//	Flags    uint8
//	IOPrio   uint16
//	FD       int32
//	Off      uint64 // also addr2
//	Addr     uint64 // also splice_off_in
//	Len      uint32
//	OpFlags  uint32 // rw_flags, fsync_flags, open_flags, statx_flags, …
//	UserData uint64 // not yours
//	BufIndex uint16 // also buf_group
//	SpliceFD int32  // also file_index
//	Addr3    uint64
//
// SetBuffer(buf []byte) sets Addr and Len to those of buf, which must be on the heap and reachable until the completion.
type RawSQE = ring.SQE

// SQE is the escape hatch: an operation that this package has no constructor for. Fill sets the entry's fields, all but
// the user data, each time the operation is started. What the entry's addresses point into must be on the heap and is
// given as keep, so that it stays reachable until the completion; RawSQE.SetBuffer sets an address. The result is the kernel's, negative ones as errors.
// Of an entry that is answered more than once (multishot, zero-copy) it is the first answer, and the operation is done with the
// last; IOSQE_CQE_SKIP_SUCCESS is cleared. Backends other than io_uring answer ErrUnsupported. See io_uring_enter(2).
func SQE(name string, fill func(e *RawSQE), keep ...any) Op {
	ext := &driver.Ext{Keep: keep}
	if fill != nil { // a nil function would not be nil in ext.Raw
		ext.Raw = fill
	}
	return Op{name: name, req: driver.Request{Kind: driver.Raw, Ext: ext}}
}
