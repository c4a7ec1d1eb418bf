//go:build unix

package ringport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the system answers, by what it means.
const (
	errFault       = syscall.EFAULT
	errBrokenPipe  = syscall.EPIPE
	errNotAllowed  = syscall.EBADF // a transfer that the handle was not opened for
	errNotThere    = syscall.ENOENT
	errFileThere   = syscall.EEXIST
	errFolderThere = syscall.EEXIST
	errCutReadOnly = syscall.EINVAL
	errThroughFile = syscall.ENOTDIR
	errLongName    = syscall.ENAMETOOLONG
	errLongPath    = syscall.ENAMETOOLONG
	errSeekBefore  = syscall.EINVAL
	errCutPipe     = syscall.EINVAL
	errSyncPipe    = syscall.EINVAL

	errNotSocket    = syscall.ENOTSOCK
	errBadAddress   = syscall.EINVAL
	errNoUnixSocket = syscall.ENOENT
)

// What sockets have.
const (
	msgWaitAll     = syscall.MSG_WAITALL
	noSignal       = unix.MSG_NOSIGNAL
	soType         = syscall.SO_TYPE
	hasUnixSockets = true
)

// pollsRoom: an operation can wait for room in a pipe.
const pollsRoom = true

// scaled is how often a test does what it does n times where system calls are cheap.
func scaled(n int) int { return n }

// directShows: what a handle tells of itself includes that it is direct.
var directShows = isDirect(O_DIRECT)

// newPipe makes a pipe in blocking mode.
func newPipe() (r, w Handle, err error) {
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		return 0, 0, err
	}
	syscall.CloseOnExec(p[0])
	syscall.CloseOnExec(p[1])
	return Handle(p[0]), Handle(p[1]), nil
}

// newDuplex makes two ends that both read and write.
func newDuplex() (a, b Handle, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	return Handle(pair[0]), Handle(pair[1]), err
}

// ownHandle is the handle of f for the operations of m. The caller closes it by closeOwn.
func ownHandle(t testing.TB, m *Manager, f *os.File) Handle { return Handle(f.Fd()) }

func closeOwn(Handle) {} // it is f's

// otherMode makes h ready for m, in another mode than usual if other is true: non-blocking.
func otherMode(m *Manager, h Handle, other bool) error {
	if other {
		return syscall.SetNonblock(int(h), true)
	}
	return m.Attach(h)
}

// newDoor is what can be opened, perhaps with a wait.
func newDoor(t testing.TB) (name string) { return newFIFO(t) }

func closeRaw(h Handle) error { return syscall.Close(int(h)) }

// isOpen reports whether h is an open handle.
func isOpen(h uintptr) bool {
	_, err := unix.FcntlInt(h, unix.F_GETFD, 0)
	return err != unix.EBADF
}

// modesOf is what others who share h would notice if it changed.
func modesOf(h uintptr) (int, error) { return unix.FcntlInt(h, unix.F_GETFL, 0) }

func dup(t testing.TB, h Handle) Handle {
	t.Helper()
	fd, err := syscall.Dup(int(h))
	if err != nil {
		t.Fatal(err)
	}
	return Handle(fd)
}

// rawRead and rawWrite go past every manager.
func rawRead(h Handle, p []byte) (int, error) { return syscall.Read(int(h), p) }

func rawWrite(h Handle, p []byte) (int, error) { return syscall.Write(int(h), p) }

// tryRead and tryWrite are those without a wait; nothing moves if they would have to. Nobody else may use that end of the pipe, and no
// more than 4096 bytes can be written, which a pipe that polls writable takes at once.
func tryRead(h Handle, p []byte) (int, error) {
	if !ready(h, unix.POLLIN) {
		return 0, nil
	}
	return rawRead(h, p)
}

func tryWrite(h Handle, p []byte) (int, error) {
	if !ready(h, unix.POLLOUT) {
		return 0, nil
	}
	return rawWrite(h, p)
}

func ready(h Handle, events int16) bool {
	n, err := 0, error(unix.EINTR)
	for err == unix.EINTR { // a signal, the runtime's above all, says nothing about the pipe
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(h), Events: events}}, 0)
	}
	return n != 0 || err != nil
}

// isEmpty reports whether a read of a pipe would wait.
func isEmpty(h Handle) bool { return !ready(h, unix.POLLIN) }

// waitReadable waits for a manager's handle, no longer than limit.
func waitReadable(t testing.TB, h Handle, limit time.Duration) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(h), Events: unix.POLLIN}}, int((limit+time.Millisecond-1)/time.Millisecond))
	if err != nil && err != syscall.EINTR {
		t.Fatal(err)
	}
	return n != 0
}

// untouched is memory that takes no room before it is touched.
func untouched(t testing.TB, size int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}

// warmUp makes the runtime open the descriptors that it keeps for good.
func warmUp() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	r.SetReadDeadline(time.Now())
	r.Read(make([]byte, 1))
	r.Close()
	w.Close()
}

// descriptors are this process's, with what they stand for. Where the system has no list it returns none.
func descriptors() map[string]string {
	all := map[string]string{}
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		names, err := filepath.Glob(dir + "/*")
		if err != nil || len(names) == 0 {
			continue
		}
		for _, name := range names {
			// The one that lists the directory is closed by now.
			if target, err := os.Readlink(name); err == nil {
				all[filepath.Base(name)] = target
			}
		}
		break
	}
	return all
}

func strangeDescriptors(before map[string]string) error {
	var errs []error
	for fd, target := range descriptors() {
		if before[fd] != target {
			errs = append(errs, fmt.Errorf("descriptor %s left: %s", fd, target))
		}
	}
	return errors.Join(errs...)
}

// streams are pipes, FIFOs, sockets, terminals where there are any, and a pipe that somebody has made non-blocking.
func streams() []stream {
	return append([]stream{
		{"pipe", pipeStream},
		{"non-blocking pipe", func(t *testing.T, m *Manager) (*File, func(string)) {
			r, feed := pipeStream(t, m)
			syscall.SetNonblock(int(r.Fd()), true)
			return r, feed
		}},
		{"FIFO", func(t *testing.T, m *Manager) (*File, func(string)) {
			name := newFIFO(t)
			keep := openFile(t, m, name, os.O_RDWR) // so that neither end waits for the other to open
			return openFile(t, m, name, os.O_RDONLY), feedTo(t, keep)
		}},
		{"socket", duplexStream},
	}, terminals...)
}

func newFIFO(t testing.TB) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
