package uring

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// entry is how one kind is started. A family of kinds has its functions in the file named after it.
type entry struct {
	opcode  uint8
	prepare func(r *driver.Request) error          // makes C strings and the like, outside the lock; may be nil
	fill    func(sqe *ring.SQE, r *driver.Request) // writes everything but the user data; sqe is zero
	finish  func(r *driver.Request)                // turns the answer into the result; may be nil

	// linkGoesOn: the kernel carries on with a chain when such an entry fails (it doesn't call req_set_fail, Linux 6.18).
	linkGoesOn bool
}

var table = [driver.KindCount]entry{
	driver.Nop: {opcode: ring.OpNop, fill: fillNop},

	driver.Read:    {opcode: ring.OpRead, fill: fillRead},
	driver.Write:   {opcode: ring.OpWrite, fill: fillWrite},
	driver.Readv:   {opcode: ring.OpReadv, prepare: prepareVec, fill: fillReadv},
	driver.Writev:  {opcode: ring.OpWritev, prepare: prepareVec, fill: fillWritev},
	driver.Recv:    {opcode: ring.OpRecv, prepare: prepareRecv, fill: fillRecv},
	driver.Send:    {opcode: ring.OpSend, fill: fillSend},
	driver.RecvMsg: {opcode: ring.OpRecvMsg, prepare: prepareMsg, fill: fillRecvMsg, finish: finishRecvMsg},
	driver.SendMsg: {opcode: ring.OpSendMsg, prepare: prepareMsg, fill: fillSendMsg},

	driver.Splice: {opcode: ring.OpSplice, prepare: prepareSplice, fill: fillSplice},

	driver.Fsync:     {opcode: ring.OpFsync, fill: fillFsync, linkGoesOn: true},
	driver.Fdatasync: {opcode: ring.OpFsync, fill: fillFdatasync, linkGoesOn: true},
	driver.Fallocate: {opcode: ring.OpFallocate, fill: fillFallocate, linkGoesOn: true},
	driver.Truncate:  {opcode: ring.OpFtruncate, fill: fillTruncate, linkGoesOn: true},
	driver.Fadvise:   {opcode: ring.OpFadvise, prepare: prepareFadvise, fill: fillFadvise},

	driver.Open:   {opcode: ring.OpOpenat, prepare: preparePath, fill: fillOpen},
	driver.Close:  {opcode: ring.OpClose, fill: fillClose},
	driver.Stat:   {opcode: ring.OpStatx, prepare: prepareStat, fill: fillStat, finish: finishStat, linkGoesOn: true},
	driver.Unlink: {opcode: ring.OpUnlinkat, prepare: preparePath, fill: fillUnlink, linkGoesOn: true},
	driver.Rename: {opcode: ring.OpRenameat, prepare: preparePath, fill: fillRename, linkGoesOn: true},
	driver.Mkdir:  {opcode: ring.OpMkdirat, prepare: preparePath, fill: fillMkdir, linkGoesOn: true},
	driver.Link:   {opcode: ring.OpLinkat, prepare: preparePath, fill: fillLink, linkGoesOn: true},

	driver.Socket:   {opcode: ring.OpSocket, prepare: prepareSocket, fill: fillSocket},
	driver.Bind:     {opcode: ring.OpBind, fill: fillBind},
	driver.Listen:   {opcode: ring.OpListen, fill: fillListen},
	driver.Accept:   {opcode: ring.OpAccept, prepare: prepareAccept, fill: fillAccept},
	driver.Connect:  {opcode: ring.OpConnect, fill: fillConnect},
	driver.Shutdown: {opcode: ring.OpShutdown, fill: fillShutdown, linkGoesOn: true},

	driver.Poll: {opcode: ring.OpPollAdd, fill: fillPoll},

	driver.Raw: {opcode: ring.OpNop, prepare: prepareRaw, fill: fillRaw},
}

// descriptor is h as an entry takes it: a descriptor, an index of a registered file, AT_FDCWD, or -1 for what cannot be one.
func descriptor(h driver.Handle) int32 {
	if i, ok := h.Registered(); ok {
		return int32(i)
	}
	if h == driver.CurrentDir {
		return unix.AT_FDCWD
	}
	if h > 1<<30 {
		return -1
	}
	return int32(h)
}

// target sets the entry's descriptor.
func target(sqe *ring.SQE, h driver.Handle) {
	if h < 1<<30 { // most of them
		sqe.FD = int32(h)
		return
	}
	sqe.FD = descriptor(h)
	if _, ok := h.Registered(); ok {
		sqe.Flags |= ring.SQEFixedFile
	}
}

func fillNop(sqe *ring.SQE, r *driver.Request) { sqe.Opcode = ring.OpNop }

func fillPoll(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.OpFlags = ring.OpPollAdd, r.Arg
	target(sqe, r.FD)
}

// prepareRaw lets the user's function make the entry, which may not happen under the lock.
func prepareRaw(r *driver.Request) error {
	fill, ok := r.Ext.Raw.(func(*ring.SQE))
	if !ok {
		return unix.EINVAL
	}
	made, ok := r.Ext.Platform.(*ring.SQE)
	if !ok {
		made = new(ring.SQE)
		r.Ext.Platform = made
	}
	*made = ring.SQE{}
	fill(made)
	return nil
}

// fillRaw takes the entry as it is, but for the wish to hear nothing of a success: the request could never come back.
func fillRaw(sqe *ring.SQE, r *driver.Request) {
	*sqe = *r.Ext.Platform.(*ring.SQE)
	sqe.Flags &^= ring.SQECQESkipSuccess
}
