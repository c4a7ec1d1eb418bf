//go:build unix

package ipc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/ctxend"
)

const network = "unix"

// link: a Unix socket needs nothing.
type link struct{}

// Read receives up to len(p) bytes, waiting for the first. When the peer has ended its side it returns 0, io.EOF. On Windows, a connection
// in message mode gives bytes of one message at a time, and what p has no room for is what the next Read gets. See recv(2).
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	return n, c.failed("read", err)
}

// Write sends p, and returns fewer bytes than len(p) only with an error, which matches syscall.EPIPE if the peer has gone. The bytes of calls
// at the same time don't mix. On Windows, a connection in message mode sends p as one message, unless it is empty. See send(2).
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.f.Write(p)
	return n, c.failed("write", err)
}

// CloseWrite ends the sending side: the peer gets io.EOF when it has read what was sent. On Windows that is possible in message
// mode alone, where an empty message is the end; else the error is errors.ErrUnsupported. See shutdown(2).
func (c *Conn) CloseWrite() error {
	op := ringport.Shutdown(0, ringport.ShutdownWrite)
	_, err := c.f.Do(&op)
	return c.failed("close", err)
}

// endpoint is a socket that listens.
type endpoint struct {
	m      *ringport.Manager
	path   string
	config ListenConfig

	f      *ringport.File
	made   fs.FileInfo // the socket's file
	lock   *os.File
	closed atomic.Bool
}

func (*endpoint) link() link { return link{} }

// open listens. From before it looks for a socket that was left behind until the listener is closed it has a lock, so that no other
// process takes the one for the other.
func (e *endpoint) open() (err error) {
	if e.config.MessageMode {
		return fmt.Errorf("%w: message mode", errors.ErrUnsupported)
	}
	at, err := ringport.UnixAddress(e.path)
	if err != nil {
		return err
	}
	if e.lock, err = lockFile(e.path + ".lock"); err != nil {
		return err
	}
	if err = e.bind(at); err == nil {
		return nil
	}
	unlockFile(e.lock)
	return err
}

// bind makes the socket and its file. Nobody can connect before it listens, by which time the file has its mode.
func (e *endpoint) bind(at ringport.SocketAddress) (err error) {
	if err := removeStale(e.path); err != nil {
		return err
	}
	if e.f, err = newSocket(context.Background(), e.m, e.path); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			e.f.Close()
		}
	}()
	bind := ringport.Bind(0, at)
	if _, err = e.f.Do(&bind); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return inUse("something else has just been made there")
		}
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(e.path)
		}
	}()
	if err = os.Chmod(e.path, cmp.Or(e.config.Mode, 0o600)); err != nil {
		return err
	}
	if e.made, err = os.Lstat(e.path); err != nil {
		return err
	}
	listen := ringport.Listen(0, cmp.Or(e.config.Backlog, mostWaiting))
	_, err = e.f.Do(&listen)
	return err
}

// inUse is ErrInUse as this system says it, with what has the name.
func inUse(by string) error {
	return fmt.Errorf("%w: %s: %w", ErrInUse, by, os.NewSyscallError("bind", syscall.EADDRINUSE))
}

// removeStale removes the socket at path if nobody listens on it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return inUse("something that is no socket is there")
	}
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.SetNonblock(fd, true); err != nil { // a listener may be too busy to answer
		return os.NewSyscallError("fcntl", err)
	}
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err {
	case unix.ECONNREFUSED:
		return os.Remove(path)
	case unix.ENOENT: // it has gone by itself
		return nil
	}
	return inUse("a socket that somebody uses is there")
}

// lockFile makes a file and locks it, or says that somebody else has.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if err == unix.EWOULDBLOCK {
				return nil, inUse("another listener has it, and the lock " + path)
			}
			return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
		}
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if now, err := os.Lstat(path); err == nil && os.SameFile(mine, now) {
			return f, nil
		}
		f.Close() // whoever had it has just removed it
	}
}

// unlockFile removes the file and gives the lock back, also where a process that is being started has a copy of the descriptor.
func unlockFile(f *os.File) {
	os.Remove(f.Name())
	unix.Flock(int(f.Fd()), unix.LOCK_UN)
	f.Close()
}

// accept waits for a client.
func (e *endpoint) accept(ctx context.Context) (*ringport.File, error) {
	listener := e.f.WithContext(ctx)
	op := ringport.Accept(0, nil)
	fd, err := listener.DoRead(&op)
	for errors.Is(err, syscall.ECONNABORTED) { // it was there, and left
		fd, err = listener.DoRead(&op)
	}
	if err != nil {
		return nil, err
	}
	h := ringport.Handle(fd)
	f, err := adopt(e.m, h, e.path)
	if err != nil {
		return nil, err
	}
	for option, bytes := range map[int]int{syscall.SO_RCVBUF: e.config.InputBufferBytes, syscall.SO_SNDBUF: e.config.OutputBufferBytes} {
		if bytes == 0 {
			continue
		}
		if err := ringport.SetSocketOption(h, syscall.SOL_SOCKET, option, bytes); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// close removes the socket's file, if it still is this socket's.
func (e *endpoint) close() error {
	if e.closed.Swap(true) {
		return net.ErrClosed
	}
	if now, err := os.Lstat(e.path); err == nil && os.SameFile(now, e.made) {
		os.Remove(e.path)
	}
	err := e.f.Close()
	unlockFile(e.lock)
	return err
}

func newSocket(ctx context.Context, m *ringport.Manager, path string) (*ringport.File, error) {
	op := ringport.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	fd, err := m.Do(ctx, &op)
	if err != nil {
		return nil, err
	}
	return adopt(m, ringport.Handle(fd), path)
}

func closeHandle(h ringport.Handle) { unix.Close(int(h)) }

// A full backlog is waited for by the kernel, or not: then it is asked again after a pause, since it tells nobody when there is room.
const (
	firstPause = time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// checkOwner refuses what can't be a Peer's UserID, unless it is "".
func checkOwner(id string) error {
	if n, err := strconv.ParseUint(id, 10, 32); id != "" && (err != nil || strconv.FormatUint(n, 10) != id) {
		return &ringport.ConfigError{Field: "ExpectedOwner", Value: id, Reason: "a user's number, as Uid of package os/user"}
	}
	return nil
}

// connect connects to the socket at path.
func connect(ctx context.Context, m *ringport.Manager, path string) (*ringport.File, link, error) {
	at, err := ringport.UnixAddress(path)
	if err != nil {
		return nil, link{}, err
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		f, err := newSocket(ctx, m, path)
		if err != nil {
			return nil, link{}, err
		}
		op := ringport.Connect(0, at)
		if _, err = f.WithContext(ctx).Do(&op); err == nil {
			return f, link{}, nil
		}
		f.Close() // it can't be used for a second try
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, link{}, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, link{}, ctxend.Cause(ctx)
		}
	}
}

// nobody is the error of who finds a socket on which nobody listens any more. It matches fs.ErrNotExist, as that of who finds no socket does.
type nobody struct{ err error }

func (e nobody) Error() string        { return e.err.Error() }
func (e nobody) Unwrap() error        { return e.err }
func (e nobody) Is(target error) bool { return target == fs.ErrNotExist }

// explain makes err match what it means on every system.
func explain(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nobody{err}
	}
	return err
}
