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
	// socket says that it is a socket's overlapped call, or several: see call, goesOn and socketResult.
	socket bool
}

var table [driver.KindCount]entry

// The table refers to functions that refer to it, so that it can't be initialized where it is declared. Splice is not in
// it: ErrUnsupported.
func init() {
	table = [driver.KindCount]entry{
		driver.Read:   {exec: execTransfer, start: (*Driver).startTransfer},
		driver.Write:  {exec: execTransfer, start: (*Driver).startTransfer},
		driver.Readv:  {exec: execTransfer, start: (*Driver).startTransfer},
		driver.Writev: {exec: execTransfer, start: (*Driver).startTransfer},

		driver.Recv:    {execOnSocket, (*Driver).startOnSocket, true},
		driver.Send:    {execOnSocket, (*Driver).startOnSocket, true},
		driver.RecvMsg: {execOnSocket, (*Driver).startOnSocket, true},
		driver.SendMsg: {execOnSocket, (*Driver).startOnSocket, true},

		driver.Socket:   {exec: execSocket, start: (*Driver).startHere},
		driver.Bind:     {exec: execBind, start: (*Driver).startHere},
		driver.Listen:   {exec: execListen, start: (*Driver).startHere},
		driver.Accept:   {execOnSocket, (*Driver).startOnSocket, true},
		driver.Connect:  {execConnect, (*Driver).startConnect, true},
		driver.Shutdown: {exec: execShutdown, start: (*Driver).startHere},

		driver.Fsync:     {exec: execFlush, start: (*Driver).startFlush},
		driver.Fdatasync: {exec: execFlush, start: (*Driver).startFlush},
		driver.Fallocate: {exec: execFallocate},
		driver.Truncate:  {exec: execTruncate},
		driver.Fadvise:   {exec: execFadvise},

		driver.Open:   {exec: execOpen},
		driver.Close:  {exec: execClose, start: (*Driver).startClose},
		driver.Stat:   {exec: execStat},
		driver.Unlink: {exec: execUnlink},
		driver.Rename: {exec: execRename},
		driver.Mkdir:  {exec: execMkdir},
		driver.Link:   {exec: execLink},

		driver.Poll: {exec: execPoll, start: (*Driver).startPoll},

		driver.Raw: {exec: execRaw, start: (*Driver).startRaw},
	}
}
