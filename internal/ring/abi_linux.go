package ring

import "unsafe"

// The kernel's interface, from include/uapi/linux/io_uring.h. Names are the kernel's without their IORING_ prefix.

// SQE is struct io_uring_sqe: one submission.
type SQE struct {
	Opcode   uint8
	Flags    uint8
	IOPrio   uint16
	FD       int32
	Off      uint64 // also addr2
	Addr     uint64 // also splice_off_in
	Len      uint32
	OpFlags  uint32 // rw_flags, fsync_flags, open_flags, statx_flags, …
	UserData uint64
	BufIndex uint16 // also buf_group
	_        uint16
	SpliceFD int32 // also file_index
	Addr3    uint64
	_        uint64
}

// SetBuffer sets address and length to those of buf, which must be on the heap and reachable until the completion.
func (e *SQE) SetBuffer(buf []byte) {
	// Rule: the caller keeps buf reachable, and the collector does not move what is on the heap.
	e.Addr, e.Len = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))), uint32(len(buf))
}

// CQE is struct io_uring_cqe: one completion.
type CQE struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// Params is struct io_uring_params.
type Params struct {
	SQEntries    uint32
	CQEntries    uint32
	Flags        uint32
	SQThreadCPU  uint32
	SQThreadIdle uint32
	Features     uint32
	WQFD         uint32
	_            [3]uint32
	SQOff        sqOffsets
	CQOff        cqOffsets
}

type sqOffsets struct {
	Head, Tail, RingMask, RingEntries, Flags, Dropped, Array, _ uint32
	_                                                           uint64
}

type cqOffsets struct {
	Head, Tail, RingMask, RingEntries, Overflow, CQEs, Flags, _ uint32
	_                                                           uint64
}

// Set-up flags.
const (
	SetupSQPoll       = 1 << 1
	SetupCQSize       = 1 << 3
	SetupClamp        = 1 << 4
	SetupRDisabled    = 1 << 6
	SetupSubmitAll    = 1 << 7
	SetupCoopTaskrun  = 1 << 8
	SetupTaskrunFlag  = 1 << 9
	SetupSingleIssuer = 1 << 12
	SetupDeferTaskrun = 1 << 13
	SetupNoSQArray    = 1 << 16
)

// Features that the kernel reports.
const (
	FeatSingleMmap    = 1 << 0
	FeatNoDrop        = 1 << 1
	FeatSubmitStable  = 1 << 2
	FeatRWCurPos      = 1 << 3
	FeatFastPoll      = 1 << 5
	FeatExtArg        = 1 << 8
	FeatNativeWorkers = 1 << 9
	FeatCQESkip       = 1 << 11
	FeatRegRegRing    = 1 << 13 // since Linux 6.3
)

// Flags of an SQE.
const (
	SQEFixedFile      = 1 << 0
	SQEIODrain        = 1 << 1
	SQEIOLink         = 1 << 2
	SQEAsync          = 1 << 4
	SQEBufferSelect   = 1 << 5
	SQECQESkipSuccess = 1 << 6
)

// Flags of a CQE. The upper half is the number of a provided buffer.
const (
	CQEFBuffer = 1 << 0
	CQEFMore   = 1 << 1
	CQEFNotif  = 1 << 3 // the buffers of a zero-copy send are free again

	cqeBufferShift = 16
)

// Flags in the mapped submission queue.
const (
	sqNeedWakeup = 1 << 0
	sqCQOverflow = 1 << 1
	sqTaskrun    = 1 << 2
)

// Flags of io_uring_enter.
const (
	EnterGetEvents = 1 << 0
	EnterSQWakeup  = 1 << 1
	EnterExtArg    = 1 << 3
)

// Opcodes.
const (
	OpNop         = 0
	OpReadv       = 1
	OpWritev      = 2
	OpFsync       = 3
	OpReadFixed   = 4
	OpWriteFixed  = 5
	OpPollAdd     = 6
	OpSendMsg     = 9
	OpRecvMsg     = 10
	OpAccept      = 13
	OpAsyncCancel = 14
	OpConnect     = 16
	OpFallocate   = 17
	OpOpenat      = 18
	OpClose       = 19
	OpStatx       = 21
	OpRead        = 22
	OpWrite       = 23
	OpFadvise     = 24
	OpSend        = 26
	OpRecv        = 27
	OpSplice      = 30
	OpShutdown    = 34
	OpRenameat    = 35
	OpUnlinkat    = 36
	OpMkdirat     = 37
	OpLinkat      = 39
	OpMsgRing     = 40
	OpSocket      = 45
	OpSendZC      = 47
	OpSendMsgZC   = 48
	OpFtruncate   = 55
	OpBind        = 56
	OpListen      = 57
)

// Flags in SQE.IOPrio of socket operations.
const (
	AcceptMultishot = 1 << 0 // since Linux 5.19
	RecvPollFirst   = 1 << 0 // since Linux 5.19, as OpSocket
	RecvMultishot   = 1 << 1 // since Linux 6.0
	SendReportUsage = 1 << 3 // since Linux 6.2: of zero-copy sends
)

// NotifCopied in the Res of a notification (CQEFNotif) says that the kernel had to copy after all.
const NotifCopied = 1 << 31

// HasZeroCopy reports whether a kernel with these features and operations has zero-copy sends that report their use. Linux 6.0 and 6.1 have sends that
// don't; 6.2 can't be told from them.
func HasZeroCopy(features uint32, ops Opcodes) bool {
	return features&FeatRegRegRing != 0 && ops.Has(OpSendZC) && ops.Has(OpSendMsgZC)
}

// FsyncDatasync in OpFlags of OpFsync makes it fdatasync(2).
const FsyncDatasync = 1 << 0

// PollAddMulti in Len of OpPollAdd makes the poll multishot.
const PollAddMulti = 1 << 0

// Flags in OpFlags of OpAsyncCancel.
const (
	AsyncCancelAll      = 1 << 0
	AsyncCancelAny      = 1 << 2
	AsyncCancelUserdata = 1 << 4
)

// Operations of io_uring_register.
const (
	registerBuffers        = 0
	unregisterBuffers      = 1
	registerFiles          = 2
	unregisterFiles        = 3
	registerEventFD        = 4
	unregisterEventFD      = 5
	registerProbe          = 8
	registerEnableRings    = 12
	registerIOWQMaxWorkers = 19
	registerPbufRing       = 22
	unregisterPbufRing     = 23
	registerSyncCancelReg  = 24
)

const (
	offSQRing = 0
	offSQEs   = 0x10000000
)
