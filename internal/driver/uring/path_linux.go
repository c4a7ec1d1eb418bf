package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// paths is what a path request keeps in Ext.Platform: the C strings and the buffer that the kernel reads and writes.
type paths struct {
	path, path2 []byte
	statx       *unix.Statx_t
}

func (p *paths) address() uint64  { return address(p.path) }
func (p *paths) address2() uint64 { return address(p.path2) }

func preparePath(r *driver.Request) error {
	p, ok := r.Ext.Platform.(*paths)
	if !ok {
		p = new(paths)
		r.Ext.Platform = p
	}
	var err error
	if p.path, err = unix.ByteSliceFromString(r.Ext.Path); err == nil && r.Ext.Path2 != "" {
		p.path2, err = unix.ByteSliceFromString(r.Ext.Path2)
	} else if r.Ext.Path2 == "" {
		p.path2 = []byte{0}
	}
	return err
}

// fillOpen leaves an open that would wait if its path named a FIFO by now to a worker of the kernel. The ring itself would answer as O_NONBLOCK
// does.
func fillOpen(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.Addr, sqe.Len = ring.OpOpenat, r.Ext.Platform.(*paths).address(), r.Arg2
	sqe.OpFlags = r.Arg | unix.O_CLOEXEC | unix.O_LARGEFILE
	if waits(r) {
		sqe.Flags |= ring.SQEAsync
	}
	target(sqe, r.FD)
}

func fillClose(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpClose
	if i, ok := r.FD.Registered(); ok {
		sqe.SpliceFD = int32(i) + 1 // file_index
		return
	}
	target(sqe, r.FD)
}

func prepareStat(r *driver.Request) error {
	if r.Ext.Stat == nil {
		return unix.EFAULT
	}
	if err := preparePath(r); err != nil {
		return err
	}
	if p := r.Ext.Platform.(*paths); p.statx == nil {
		p.statx = new(unix.Statx_t)
	}
	return nil
}

func fillStat(sqe *ring.SQE, r *driver.Request) {
	p := r.Ext.Platform.(*paths)
	sqe.Opcode, sqe.Addr, sqe.OpFlags = ring.OpStatx, p.address(), r.Arg
	if r.Ext.Path == "" {
		sqe.OpFlags |= unix.AT_EMPTY_PATH
	}
	sqe.Len = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	sqe.Off = uint64(uintptr(unsafe.Pointer(p.statx))) // held by Ext.Platform
	target(sqe, r.FD)
}

func finishStat(r *driver.Request) {
	*r.Ext.Stat = driver.StatxOf(r.Ext.Platform.(*paths).statx)
}

func fillUnlink(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.Addr, sqe.OpFlags = ring.OpUnlinkat, r.Ext.Platform.(*paths).address(), r.Arg
	target(sqe, r.FD)
}

func fillRename(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpRenameat
	fillTwoPaths(sqe, r)
}

func fillLink(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpLinkat
	fillTwoPaths(sqe, r)
}

func fillTwoPaths(sqe *ring.SQE, r *driver.Request) {
	p := r.Ext.Platform.(*paths)
	target(sqe, r.FD)
	sqe.Addr, sqe.Off, sqe.Len, sqe.OpFlags = p.address(), p.address2(), uint32(descriptor(r.Ext.FD2)), r.Arg
}

func fillMkdir(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.Addr, sqe.Len = ring.OpMkdirat, r.Ext.Platform.(*paths).address(), r.Arg2
	target(sqe, r.FD)
}
