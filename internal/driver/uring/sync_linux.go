package uring

import (
	"math"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

func fillFsync(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode = ring.OpFsync
	target(sqe, r.FD)
}

func fillFdatasync(sqe *ring.SQE, r *driver.Request) {
	fillFsync(sqe, r)
	sqe.OpFlags = ring.FsyncDatasync
}

func fillFallocate(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.Off, sqe.Addr, sqe.Len = ring.OpFallocate, uint64(r.Off), uint64(r.Len), r.Arg
	target(sqe, r.FD)
}

func fillTruncate(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.Off = ring.OpFtruncate, uint64(r.Len)
	target(sqe, r.FD)
}

// prepareFadvise refuses what the entry's 32-bit length cannot say. Linux takes a 64-bit length in addr only since 6.10.
func prepareFadvise(r *driver.Request) error {
	if r.Len < 0 {
		return unix.EINVAL
	}
	return nil
}

// fillFadvise: a length above 4 GiB becomes "to the end", which for advice is near enough.
func fillFadvise(sqe *ring.SQE, r *driver.Request) {
	sqe.Opcode, sqe.Off, sqe.OpFlags = ring.OpFadvise, uint64(r.Off), r.Arg
	if r.Len <= math.MaxUint32 {
		sqe.Len = uint32(r.Len)
	}
	target(sqe, r.FD)
}
