package rnet

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

// mostAtOnce is how much one call moves, so that deadlines, contexts and Close are looked at in between.
const mostAtOnce = 4 << 20

// sendFile moves up to most bytes from a regular file, at its position, into the connection.
func sendFile(c *Conn, file syscall.Conn, most int64) (n int64, err error, handled bool) {
	in, err := file.SyscallConn()
	if err != nil {
		return 0, nil, false // reading it will say why
	}
	out, err := c.f.SyscallConn()
	if err != nil {
		return 0, err, true
	}
	regular := false
	in.Control(func(fd uintptr) {
		var st unix.Stat_t
		regular = unix.Fstat(int(fd), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
	})
	if !regular {
		return 0, nil, false
	}
	if err := unblock(out); err != nil {
		return 0, err, true
	}
	var failed, closed error
	// The file's position is ours until the end.
	unreadable := in.Read(func(from uintptr) bool {
		closed = out.Write(func(to uintptr) (done bool) {
			var m int
			m, failed, done = sendSome(int(to), int(from), most-n)
			n += int64(m)
			return done || n == most
		})
		return true
	})
	switch {
	case unreadable != nil:
		return 0, nil, false
	case closed != nil:
		return n, closed, true
	case n == 0 && (failed == unix.EINVAL || failed == unix.ENOSYS || failed == unix.EOPNOTSUPP): // not this kind of file
		return 0, nil, false
	}
	return n, systemError("sendfile", failed), true
}

// sendSome is one sendfile(2). It is done at the end of the file, or with an error.
func sendSome(to, from int, most int64) (n int, err error, done bool) {
	n, err = unix.Sendfile(to, from, nil, int(min(most, mostAtOnce)))
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return max(n, 0), nil, false
	case err != nil:
		return 0, err, true
	}
	return n, nil, n == 0
}

// splice moves up to most bytes from one connection to another, by way of a pipe.
func splice(to, from *Conn, most int64) (n int64, err error, handled bool) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return 0, nil, false
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	unix.FcntlInt(uintptr(pipe[1]), unix.F_SETPIPE_SZ, pipeBytes) // best effort: there is a limit for each user
	in, err := from.f.SyscallConn()
	if err == nil {
		err = unblock(in)
	}
	if err != nil {
		return 0, err, true
	}
	out, err := to.f.SyscallConn()
	if err == nil {
		err = unblock(out)
	}
	for err == nil && n < most {
		var got int
		if got, err = spliceSome(in.Read, most-n, func(fd uintptr, n int) (int64, error) {
			return unix.Splice(int(fd), nil, pipe[1], nil, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		}); err != nil || got == 0 {
			if n == 0 && isErrno(err, unix.EINVAL) { // not this kind of socket
				return 0, nil, false
			}
			break
		}
		for got > 0 && err == nil { // the pipe is empty again at the end, or the connection broken
			var sent int
			sent, err = spliceSome(out.Write, int64(got), func(fd uintptr, n int) (int64, error) {
				return unix.Splice(pipe[0], nil, int(fd), nil, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
			})
			got -= sent
			n += int64(sent)
		}
	}
	return n, err, true
}

const pipeBytes = 1 << 20

// spliceSome calls move until it has moved something, which it may have to wait for, or has come to the end.
func spliceSome(wait func(func(fd uintptr) bool) error, most int64, move func(fd uintptr, n int) (int64, error)) (n int, err error) {
	closed := wait(func(fd uintptr) bool {
		var m int64
		m, err = move(fd, int(min(most, pipeBytes)))
		n = int(max(m, 0))
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if closed != nil {
		return 0, closed
	}
	return n, systemError("splice", err)
}

// systemError is an error of a system call as ringport says it, so that it ends as others do.
func systemError(call string, err error) error {
	if err == nil {
		return nil
	}
	return &ringport.OpError{Op: call, Name: "socket", Err: err}
}

func isErrno(err error, errno unix.Errno) bool {
	e, ok := err.(*ringport.OpError)
	return ok && e.Err == errno
}
