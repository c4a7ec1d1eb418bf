package ringport

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/iocp"
	"github.com/ringport/ringport/internal/win32"
)

// errReadFolder is the system's answer to who reads a directory as a file.
const errReadFolder = windows.ERROR_INVALID_FUNCTION

// errBadHandle is what the system calls what is no open handle.
const errBadHandle = windows.ERROR_INVALID_HANDLE

// errInvalid is the system's word for arguments that it can't use.
const errInvalid = windows.ERROR_INVALID_PARAMETER

// maxVecBytes is the most that one operation on several buffers moves, since they are copied into or out of one.
const maxVecBytes = 16 << 20

// describe finds out what h is. A foreign handle that doesn't answer is synchronous, and somebody waits for what it has next: it is taken
// for one without positions.
func describe(h Handle, foreign bool) (traits, error) {
	if !foreign {
		return describeNow(windows.Handle(h))
	}
	type answer struct {
		what traits
		err  error
	}
	a, _ := iocp.Ask(func() (a answer) {
		a.what, a.err = describeNow(windows.Handle(h))
		return a
	})
	return a.what, a.err
}

// describeNow waits for who uses h. Devices are taken for files without positions, although the system keeps a number for some of them that
// looks like one.
func describeNow(h windows.Handle) (what traits, err error) {
	kind, err := windows.GetFileType(h)
	if err != nil || kind != windows.FILE_TYPE_DISK {
		return what, err
	}
	mode, err := win32.Mode(h)
	if err != nil {
		return what, err
	}
	what = traits{regular: true, seekable: true, appends: win32.AppendsOnly(h), direct: isDirect(int(mode))}
	var st windows.ByHandleFileInformation
	if windows.GetFileInformationByHandle(h, &st) == nil { // a whole disk has no such information
		what.directory = st.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0
	}
	return what, nil
}

// openWaits reports whether opening name may wait for somebody: a server, or a device.
func openWaits(name string, flag int) bool {
	return len(name) > 1 && isSlash(name[0]) && isSlash(name[1])
}

func isSlash(c byte) bool { return c == '\\' || c == '/' }

// isStandard reports whether h is what the program began with as standard input, output or error.
func isStandard(h Handle) bool {
	w := syscall.Handle(h)
	return w == syscall.Stdin || w == syscall.Stdout || w == syscall.Stderr
}

// readHere: an overlapped handle's read has to wait for its packet.
func readHere(h Handle, p []byte, off int64) int { return -1 }

// tryCached: no call asks for the cache alone.
func tryCached(h Handle, p []byte, off int64) (n int, ok bool) { return 0, false }

// trySend and tryReceive: a call that is not overlapped would have to change the socket's mode.
func trySend(h Handle, p []byte) (int, error)    { return 0, syscall.EAGAIN }
func tryReceive(h Handle, p []byte) (int, error) { return 0, syscall.EAGAIN }
func tryMessage(r *driver.Request) (done bool)   { return false }

func tryReceiveFrom(Handle, []byte, *SocketAddress) (int, error) { return 0, syscall.EAGAIN }
func trySendTo(Handle, []byte, *SocketAddress) (int, error)      { return 0, syscall.EAGAIN }

func seekHandle(h Handle, offset int64, whence int) (int64, error) {
	if whence < 0 || whence > 2 { // which package syscall takes for 0
		return 0, syscall.EINVAL
	}
	return syscall.Seek(syscall.Handle(h), offset, whence)
}

// openDirectory opens the directory h once more. It is no duplicate, since that would be overlapped and on a completion port, as h is,
// and package os reads directories with synchronous calls.
func openDirectory(h Handle) (Handle, error) {
	again, err := win32.ReOpenFile(windows.Handle(h), windows.GENERIC_READ, win32.ShareAll, windows.FILE_FLAG_BACKUP_SEMANTICS)
	return Handle(again), err
}

// saysClosed reports whether err says that the handle was closed under an operation. Two errors say so: ERROR_HANDLES_CLOSED itself, and
// ERROR_OPERATION_ABORTED of a handle that is not open any more, which the driver makes the first of.
func saysClosed(err error) bool { return errors.Is(err, windows.ERROR_HANDLES_CLOSED) }

// writeStandard: there is no SIGPIPE.
func writeStandard(h Handle, p []byte) (n int, err error, ok bool) { return 0, nil, false }

// moreFollows reports whether all that err says is that a message goes on.
func moreFollows(err error) bool { return errors.Is(err, ErrMoreData) }

// checkOpen reports what is not an open handle. It never waits.
func checkOpen(h Handle) error {
	if int(h) <= 0 { // such as stand for the current process
		return windows.ERROR_INVALID_HANDLE
	}
	return win32.IsOpen(windows.Handle(h))
}
