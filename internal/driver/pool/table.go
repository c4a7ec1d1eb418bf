//go:build unix

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// entry is how one kind is carried out. A family of kinds has its functions in the file named after it.
type entry struct {
	// exec is the blocking system call. It returns bytes, a descriptor or events, and a syscall.Errno. Nil: there is none
	// here.
	exec func(r *driver.Request, fd, fd2 int) (int, error)
	// start begins a request that a worker should not get at once, and reports whether it is done already. Nil: a worker
	// executes it.
	start func(d *Driver, r *driver.Request) (done bool)
	// step is what a worker does instead of exec with a request that start has marked stepwise.
	step func(d *Driver, r *driver.Request, fd, fd2 int) outcome
}

var table [driver.KindCount]entry

// The table refers to functions that refer to it, so that it can't be initialized where it is declared.
func init() {
	table = [driver.KindCount]entry{
		driver.Read:   {exec: execRead, start: (*Driver).startTransfer},
		driver.Write:  {exec: execWrite, start: (*Driver).startTransfer},
		driver.Readv:  {exec: execReadv, start: (*Driver).startTransfer},
		driver.Writev: {exec: execWritev, start: (*Driver).startTransfer},

		driver.Recv:    {exec: execMessage, start: (*Driver).startMessage},
		driver.Send:    {exec: execMessage, start: (*Driver).startMessage},
		driver.RecvMsg: {exec: execMessage, start: (*Driver).startMessage},
		driver.SendMsg: {exec: execMessage, start: (*Driver).startMessage},

		driver.Splice: spliceEntry,

		driver.Fsync:     {exec: execFsync},
		driver.Fdatasync: {exec: execFdatasync},
		driver.Fallocate: {exec: execFallocate},
		driver.Truncate:  {exec: execTruncate},
		driver.Fadvise:   {exec: execFadvise},

		driver.Open:   {execOpen, (*Driver).startOpen, (*Driver).stepOpen},
		driver.Close:  {execClose, (*Driver).startClose, (*Driver).stepClose},
		driver.Stat:   {exec: execStat},
		driver.Unlink: {exec: execUnlink},
		driver.Rename: {exec: execRename},
		driver.Mkdir:  {exec: execMkdir},
		driver.Link:   {exec: execLink},

		driver.Socket:   {exec: execSocket},
		driver.Bind:     {exec: execBind},
		driver.Listen:   {exec: execListen},
		driver.Accept:   {exec: execAccept, start: (*Driver).startAccept},
		driver.Connect:  {exec: execConnect, start: (*Driver).startConnect},
		driver.Shutdown: {exec: execShutdown},

		driver.Poll: {exec: execPoll, start: (*Driver).startPoll},
	}
}

// Exec carries out r on the calling goroutine, which blocks its thread meanwhile, and returns when N and Err are set. It is
// for callers that would do nothing but wait, on requests that need no cancel: it can't be had. FD must not be a
// registered one. It allocates nothing for transfers, fsync and fdatasync.
func Exec(r *driver.Request) {
	if r.Kind == driver.Read && r.Off >= 0 { // the way of all that races with os.File.ReadAt: 20 ns less
		if n, err := unix.Pread(descriptor(r.FD), r.Buf, r.Off); err == nil {
			r.N, r.Err = n, nil
			return
		}
	}
	r.Reset()
	if table[r.Kind].exec == nil {
		if r.Kind != driver.Nop {
			r.Err = driver.ErrUnsupported
		}
		return
	}
	fd2 := 0
	if r.Ext != nil {
		fd2 = descriptor(r.Ext.FD2)
	}
	execute(r, descriptor(r.FD), fd2)
}

// execute makes r's system call until it is not interrupted. What was moved before (N) counts, and hides an error, as it does
// in write(2).
func execute(r *driver.Request, fd, fd2 int) {
	n, err := table[r.Kind].exec(r, fd, fd2)
	for err == unix.EINTR {
		n, err = table[r.Kind].exec(r, fd, fd2)
	}
	conclude(r, n, err)
}

// conclude sets r's result.
func conclude(r *driver.Request, n int, err error) {
	switch {
	case err == nil:
		r.N += n
	case r.N > 0:
	case err == unix.ENOSYS: // the kernel is older than the call, or its sandbox hides it
		r.Err = driver.ErrUnsupported
	default:
		r.Err = err
	}
}
