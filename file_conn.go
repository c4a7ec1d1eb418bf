package ringport

import (
	"syscall"
)

// SyscallConn gives access to the descriptor for calls that this package lacks. Control runs its function with the descriptor
// held open; Read and Write run theirs, one at a time, until it reports true, and wait until the file is readable or
// writable, its deadline, its context or Close in between. The functions must not close the file: on a threaded manager Close
// would wait for them. They wait as [PollReady] does, which on Windows does not know of room in a pipe.
func (f *File) SyscallConn() (syscall.RawConn, error) {
	if err := f.enter("SyscallConn"); err != nil {
		return nil, err
	}
	defer f.leave()
	return rawConn{f}, nil
}

type rawConn struct{ f *File }

// Control implements syscall.RawConn.
func (c rawConn) Control(do func(fd uintptr)) error {
	if err := c.f.enter("control"); err != nil {
		return err
	}
	defer c.f.leave()
	do(uintptr(c.f.h))
	return nil
}

// Read implements syscall.RawConn.
func (c rawConn) Read(try func(fd uintptr) (done bool)) error {
	return c.run("raw read", reading, PollIn, try)
}

// Write implements syscall.RawConn.
func (c rawConn) Write(try func(fd uintptr) (done bool)) error {
	return c.run("raw write", writing, PollOut, try)
}

func (c rawConn) run(name string, w way, events uint32, try func(fd uintptr) bool) error {
	f := c.f
	if err := f.enter(name); err != nil {
		return err
	}
	defer f.leave()
	t := f.turnOf(w)
	if err := f.takeTurn(name, t, w); err != nil {
		return err
	}
	defer f.passTurn(t)
	for {
		if err := f.over(name, w); err != nil {
			return err
		}
		if try(uintptr(f.h)) {
			return nil
		}
		call := fileCalls.Get().(*call)
		call.op = PollReady(f.h, events)
		_, err := f.do(call, w)
		call.free()
		if err != nil {
			return err
		}
	}
}
