//go:build unix

package ringport

import (
	"io"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/pool"
)

// errReadFolder is the system's answer to who reads a directory as a file.
const errReadFolder = syscall.EISDIR

// errBadHandle is what the system calls what is no open handle.
const errBadHandle = syscall.EBADF

// errInvalid is the system's word for arguments that it can't use.
const errInvalid = syscall.EINVAL

// maxVecBytes is the most that one operation on several buffers moves.
const maxVecBytes = MaxTransferBytes

// describe finds out what h is. The system answers at once, whoever uses h.
func describe(h Handle, foreign bool) (what traits, err error) {
	fd := int(h)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err != nil {
		return what, err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return what, err
	}
	what.appends, what.direct = flags&unix.O_APPEND != 0, isDirect(flags)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		what.directory = true
		fallthrough
	case unix.S_IFREG, unix.S_IFBLK:
		what.regular, what.seekable = true, true
	case unix.S_IFSOCK:
		what.socket = true
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		what.messages = err == nil && kind != unix.SOCK_STREAM
	case unix.S_IFIFO:
	default: // some devices have positions
		_, err := unix.Seek(fd, 0, io.SeekCurrent)
		what.seekable = err == nil
	}
	return what, nil
}

// openWaits reports whether opening name may wait for somebody: the other end of a FIFO, the carrier of a serial line. If it
// can't be told, the open itself will say what is wrong.
func openWaits(name string, flag int) bool {
	if flag&unix.O_NONBLOCK != 0 {
		return false
	}
	var st unix.Stat_t
	if unix.Stat(name, &st) != nil {
		return false
	}
	mode := st.Mode & unix.S_IFMT
	return mode == unix.S_IFIFO || mode == unix.S_IFCHR
}

// isStandard reports whether h is standard input, output or error.
func isStandard(h Handle) bool { return h <= 2 }

// readHere reads at off and blocks the thread meanwhile. It returns a negative number if that fails.
func readHere(h Handle, p []byte, off int64) int {
	n, _ := syscall.Pread(int(h), p, off) // not unix.Pread, which gets to the same by way of assembly, 5 ns later
	return n
}

// tryCached reads what the page cache holds, if that is all of p, without blocking.
func tryCached(h Handle, p []byte, off int64) (n int, ok bool) { return pool.TryCached(int(h), p, off) }

// trySend sends, and tryReceive receives, what it can without waiting: EAGAIN if that is nothing.
func trySend(h Handle, p []byte) (int, error)    { return pool.TrySend(int(h), p) }
func tryReceive(h Handle, p []byte) (int, error) { return pool.TryReceive(int(h), p) }

// tryReceiveFrom and trySendTo move a message, if that need not wait: EAGAIN if it has to.
func tryReceiveFrom(h Handle, p []byte, from *SocketAddress) (int, error) {
	return pool.TryReceiveFrom(int(h), p, (*driver.Address)(from))
}

func trySendTo(h Handle, p []byte, to *SocketAddress) (int, error) {
	return pool.TrySendTo(int(h), p, (*driver.Address)(to))
}

// tryMessage carries out r, a RecvMsg or SendMsg on a socket of messages, if it need not wait, and reports whether it is over.
func tryMessage(r *driver.Request) (done bool) { return pool.TryMessage(r, int(r.FD)) }

func seekHandle(h Handle, offset int64, whence int) (int64, error) {
	return unix.Seek(int(h), offset, whence)
}

// openDirectory is another descriptor of the directory h, which shares its position.
func openDirectory(h Handle) (Handle, error) {
	fd, err := unix.FcntlInt(uintptr(h), unix.F_DUPFD_CLOEXEC, 0)
	return Handle(fd), err
}

// osOutput are standard output and error as the program began with them.
var osOutput = [...]*os.File{1: os.Stdout, 2: os.Stderr}

// writeStandard writes p, for which standard output or error (ok) just had no reader, by way of os.File: if there is still
// none, that raises SIGPIPE as the Go runtime wants it.
func writeStandard(h Handle, p []byte) (n int, err error, ok bool) {
	if h != 1 && h != 2 || len(p) == 0 {
		return 0, nil, false
	}
	n, err = osOutput[h].Write(p)
	return n, err, true
}

// saysClosed: what waits on a descriptor goes on when that is closed, with what it refers to.
func saysClosed(error) bool { return false }

// moreFollows: no system but Windows has messages in a File.
func moreFollows(error) bool { return false }

// checkOpen reports what is not an open descriptor.
func checkOpen(h Handle) error {
	if h > math.MaxInt32 {
		return unix.EBADF
	}
	_, err := unix.FcntlInt(uintptr(h), unix.F_GETFD, 0)
	return err
}
