package iocp

import "github.com/ringport/ringport/internal/driver"

// entry is how one kind is carried out. A family of kinds has its functions in the file named after it.
type entry struct {
	// exec blocks a worker until the request is done. It returns bytes or a handle, and an error of package windows or driver.
	// Nil: there is no way here.
	exec func(d *Driver, b *block) (int, error)
	// start begins a request that a worker should not get at once, and reports whether it is done already. Nil: a worker
	// executes it.
	start func(d *Driver, r *driver.Request) (done bool)
}

var table [driver.KindCount]entry

// The table refers to functions that refer to it, so that it can't be initialized where it is declared. Splice is not in
// it: ErrUnsupported.
func init() {
	table = [driver.KindCount]entry{
		driver.Read:   {execTransfer, (*Driver).startTransfer},
		driver.Write:  {execTransfer, (*Driver).startTransfer},
		driver.Readv:  {execTransfer, (*Driver).startTransfer},
		driver.Writev: {execTransfer, (*Driver).startTransfer},

		driver.Fsync:     {execFlush, (*Driver).startFlush},
		driver.Fdatasync: {execFlush, (*Driver).startFlush},
		driver.Fallocate: {exec: execFallocate},
		driver.Truncate:  {exec: execTruncate},
		driver.Fadvise:   {exec: execFadvise},

		driver.Open:   {exec: execOpen},
		driver.Close:  {execClose, (*Driver).startClose},
		driver.Stat:   {exec: execStat},
		driver.Unlink: {exec: execUnlink},
		driver.Rename: {exec: execRename},
		driver.Mkdir:  {exec: execMkdir},
		driver.Link:   {exec: execLink},

		driver.Poll: {execPoll, (*Driver).startPoll},

		driver.Raw: {execRaw, (*Driver).startRaw},
	}
}
