package iocp

import (
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// errnoOf translates an NTSTATUS by its severity: success and information are no error, whatever their number (0x103
// STATUS_PENDING and 0x10C STATUS_NOTIFY_ENUM_DIR are among them). 0 is no error.
func errnoOf(status windows.NTStatus) syscall.Errno {
	if int32(status) >= 0 {
		return 0
	}
	return status.Errno()
}

// errnoOf does the same for b's call. What went wrong with a socket has a number of its own in Winsock, which WSAGetOverlappedResult knows; it
// knows nothing of a socket that has been closed.
func (b *block) errnoOf(status windows.NTStatus) syscall.Errno {
	errno := errnoOf(status)
	if errno == 0 || b.socket == 0 || errno == windows.ERROR_OPERATION_ABORTED || errno == windows.ERROR_HANDLES_CLOSED {
		return errno
	}
	var n, flags uint32
	switch e := asErrno(windows.WSAGetOverlappedResult(b.h, &b.ov, &n, false, &flags)); e {
	case 0, windows.ERROR_IO_INCOMPLETE, windows.WSAENOTSOCK:
		return errno
	default:
		return e
	}
}

// isCut reports whether an error says that there was more than the buffer had room for.
func isCut(errno syscall.Errno) bool {
	return errno == windows.ERROR_MORE_DATA || errno == windows.WSAEMSGSIZE
}

// asErrno is the number in an error of package windows, 0 for none.
func asErrno(err error) syscall.Errno {
	switch err := err.(type) {
	case nil:
		return 0
	case syscall.Errno:
		return err
	case windows.NTStatus:
		return errnoOf(err)
	}
	return windows.ERROR_INVALID_PARAMETER // there is no such error in that package
}

// result sets the request's result. That nothing was read from a pipe, though that succeeded, says that the other end has written nothing, in
// one call of WriteFile (MSDN, ReadFile): an empty message.
func (b *block) result(errno syscall.Errno, n int, asked bool) {
	r := b.r
	if errno == windows.ERROR_OPERATION_ABORTED && b.message.shut {
		errno = 0
	}
	if errno == windows.ERROR_OPERATION_ABORTED && !asked && win32.IsOpen(b.h) != nil { // who closed the handle has ended it
		errno = windows.ERROR_HANDLES_CLOSED
	}
	r.N, r.Err = outcome(r.Kind, errno, n, asked)
	r.Empty = errno == 0 && n == 0 && b.pipe
}

// outcome is what the system's answer to a request means: n bytes moved, and an error number. A cancel that came too late to stop
// everything has not undone what moved. A message that was longer than its buffer counts as both. The end of a file, and a pipe whose
// other end is gone, are the end of a read and an error of a write.
func outcome(k driver.Kind, errno syscall.Errno, n int, asked bool) (int, error) {
	if k == driver.Raw {
		return outcomeOfRaw(errno, n, asked)
	}
	switch errno {
	case 0:
		return n, nil
	case windows.ERROR_OPERATION_ABORTED:
		switch {
		case n > 0:
			return n, nil
		case asked:
			return 0, driver.ErrCanceled
		}
	case windows.ERROR_HANDLE_EOF, windows.ERROR_BROKEN_PIPE, windows.ERROR_PIPE_NOT_CONNECTED,
		windows.WSAESHUTDOWN, windows.WSAEDISCON, windows.WSAEMSGSIZE: // of sockets, as received has it
		if reads(k) {
			return n, nil
		}
	}
	return n, errno
}

// reads reports whether a kind is a transfer inwards.
func reads(k driver.Kind) bool { return k == driver.Read || k == driver.Readv }
