package ringport

import (
	"context"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ringport/ringport/internal/arrival"
	"github.com/ringport/ringport/internal/driver"
)

// File is an open file, used as an os.File is: its methods block, may be called from several goroutines at once, and give
// *OpError, or a bare io.EOF. Three things are different. A context ends what waits, on a view made by [File.WithContext].
// Deadlines work on every file. And Close ends what other goroutines are blocked in, also on pipes, terminals and devices that
// were opened elsewhere, waits for it, and only then closes the descriptor. The descriptor's flags are never changed.
//
// Files share their position with other descriptors of the same open file, as read(2) and write(2) do (Windows: an os.File of an
// overlapped handle counts its position by itself). Two Files on one such position, or two processes, should not move it at the
// same moment.
//
// A file that nobody can reach any more is closed some time later, as an os.File is, unless it is standard input, output or error.
// Programs that care about when, and about errors, call Close. The files of a caller-driven manager are its owner's to use.
type File struct {
	*file
	ctx context.Context // what the methods of a view obey; nil: none
}

var (
	_ io.ReadWriteCloser = (*File)(nil)
	_ io.Seeker          = (*File)(nil)
	_ io.ReaderAt        = (*File)(nil)
	_ io.WriterAt        = (*File)(nil)
	_ io.ReaderFrom      = (*File)(nil)
	_ io.WriterTo        = (*File)(nil)
	_ io.StringWriter    = (*File)(nil)
	_ fs.ReadDirFile     = (*File)(nil)
	_ syscall.Conn       = (*File)(nil)
)

// file is what all views of a file share.
type file struct {
	m    *Manager
	h    Handle
	name string
	traits
	// crowd is up to how many calls on regular files run on their callers' own threads, see crowdFor; 0: none may here.
	crowd int64
	warm  atomic.Int32 // see warmFrom
	more  atomic.Bool  // a socket: the last read was filled, so that there is likely more

	// state counts the calls that may use h, and has the bits below. Whoever adds itself and finds fileClosed unset may use h
	// until it takes itself out again: Close waits for that. So a descriptor that the system has given to another file
	// by now is never touched.
	state   atomic.Uint64
	why     error         // what calls get when fileClosed is set
	drained chan struct{} // the last call has left after Close
	cleanup runtime.Cleanup

	in           *arrival.Socket // a registered socket; whoever has the turn to read sets it, under mu
	unregistered bool            // it cannot be

	mu        sync.Mutex // over what follows; no operation and no function of the user's runs under it
	calls     callList   // what Close and deadlines have to end
	deadlines [2]deadline
	dir       *os.File // reads directory entries

	turns [2]turn // who moves the position; of a file without one: who reads, who writes
}

// traits is what a file is, as found out when it became a File.
type traits struct {
	regular   bool // a regular file, directory or block device: what is done to it ends by itself
	seekable  bool // it has a position
	directory bool
	appends   bool // opened with O_APPEND
	direct    bool // past the page cache
	socket    bool
	messages  bool // a socket that keeps messages apart, so that one is sent whole or not at all
}

const (
	fileRefs     = uint64(1)<<32 - 1
	deadlineBits = uint64(1)<<32 | uint64(1)<<33 // a deadline is set: for reading, for writing
	// fileDone counts operations that were carried out without the manager, which hears of them in leaving and report. A
	// counter of its own would cost a cached read 10 ns of 760.
	fileDone     = uint64(1) << 34
	fileDoneMany = uint64(1) << 62
	fileDoneMask = fileClosed - fileDone
	fileClosed   = uint64(1) << 63
)

// way is what an operation does to a file, and so which deadline ends it.
type way uint8

const (
	reading way = iota
	writing
	neither // no deadline does
)

// deadlineBit is the bit of file.state for a deadline of w.
func (w way) deadlineBit() uint64 { return (uint64(1) << 32 << w) & deadlineBits }

// ErrAppendMode says that WriteAt was called on a file opened with O_APPEND, where the system would ignore the offset. It
// matches fs.ErrInvalid.
var ErrAppendMode error = &sentinel{"WriteAt on a file opened with O_APPEND", fs.ErrInvalid}

// Open opens a file for reading. See [Manager.OpenFile].
func (m *Manager) Open(ctx context.Context, name string) (*File, error) {
	return m.OpenFile(ctx, name, os.O_RDONLY, 0)
}

// Create makes a file, or empties the one that there is, and opens it for reading and writing. See [Manager.OpenFile].
func (m *Manager) Create(ctx context.Context, name string) (*File, error) {
	return m.OpenFile(ctx, name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// OpenFile opens a file as os.OpenFile does; flag may also have [O_DIRECT]. Opening a FIFO waits for its other end, and
// opening a device may wait too; both end when ctx does. The file that is returned does not depend on ctx. See openat(2).
//
// On Windows a named pipe (\\.\pipe\NAME) is opened as its client. It fails at once with ERROR_PIPE_BUSY while the server has no
// instance that listens: try again later. The pipe is read as bytes, also one of messages, unless SetNamedPipeHandleState changes that
// (PIPE_READMODE_MESSAGE).
//
// What name is gets looked up before it is opened, so that only what may wait is treated so. If a regular file is replaced by
// a FIFO between the two, opening it may fail with ENXIO, succeed without another end, or wait without regard to ctx.
func (m *Manager) OpenFile(ctx context.Context, name string, flag int, perm fs.FileMode) (*File, error) {
	native, err := nativeFlags(flag)
	if err != nil {
		return nil, &OpError{Op: "open", Name: name, Err: err}
	}
	op := OpenAt(CurrentDir, name, native, perm)
	if !openWaits(name, native) {
		op.req.Flags = driver.Regular
	}
	fd, err := m.Do(ctx, &op)
	if err != nil {
		return nil, err
	}
	h := Handle(fd) // attached: what the backend has opened is
	f, err := m.fileOf(h, name, false)
	if err == nil && flag&O_DIRECT != 0 {
		f.direct, err = true, goDirect(h)
	}
	if err != nil {
		m.closeHandle(h)
		return nil, &OpError{Op: "open", Name: name, Err: err}
	}
	f.closeWhenLost()
	return f, nil
}

// NewFile makes a File of a handle that was opened elsewhere and that from now on belongs to it: Close closes it. Name is what
// Name and errors show. The handle may be of any kind: a pipe, terminal, socket, device. ErrManagerClosed, or the system's
// error for what is not an open handle; the handle is the caller's then.
//
// The handle must not belong to an os.File or a net.Conn as well. These close the same number, at the latest when nobody can reach
// them, and whichever closes second closes what somebody else has opened meanwhile. Open it with the manager instead, see
// [Manager.OpenFile], or give NewFile a duplicate (unix.Dup; windows.DuplicateHandle, which is not for sockets) and close both, as the
// example does.
func (m *Manager) NewFile(h Handle, name string) (*File, error) {
	f, err := m.adopt(h, name)
	if err != nil {
		return nil, &OpError{Op: "attach", Name: name, Err: err}
	}
	if !isStandard(h) {
		f.closeWhenLost()
	}
	return f, nil
}

// adopt attaches h, which was opened elsewhere, and makes a File of it.
func (m *Manager) adopt(h Handle, name string) (*File, error) {
	err := m.guard(func() error { return m.attach(h) })
	if err != nil && err != ErrNotOverlapped && err != ErrOtherPort { // which only means that threads will have to block
		return nil, err
	}
	return m.fileOf(h, name, true)
}

// fileOf makes a File of h, which is attached or can't be, and which somebody else may be using if it is foreign.
func (m *Manager) fileOf(h Handle, name string, foreign bool) (*File, error) {
	if m.closing() {
		return nil, ErrManagerClosed
	}
	what, err := describe(h, foreign)
	if err != nil {
		return nil, err
	}
	f := &file{m: m, h: h, name: name, traits: what, unregistered: !m.shared, why: os.ErrClosed, drained: make(chan struct{}, 1)}
	if m.shared && what.regular {
		f.crowd = int64(runtime.GOMAXPROCS(0))
	}
	return &File{file: f}, nil
}

func (f *file) closeWhenLost() {
	m := f.m
	f.cleanup = runtime.AddCleanup(f, func(h Handle) {
		m.arrivals.Remove(int(h))
		m.closeHandle(h)
	}, f.h)
}

// closeHandle closes h by way of the driver, which must forget what it knows of it: the number may soon be another file's.
func (m *Manager) closeHandle(h Handle) error {
	r := driver.Request{Kind: driver.Close, FD: h}
	m.drv.Here(&r)
	return r.Err
}

// Open opens a file for reading, on the default manager. See [Manager.OpenFile].
func Open(name string) (*File, error) { return OpenFile(name, os.O_RDONLY, 0) }

// Create makes or empties a file and opens it for reading and writing, on the default manager. See [Manager.OpenFile].
func Create(name string) (*File, error) {
	return OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// OpenFile opens a file on the default manager. See [Manager.OpenFile].
func OpenFile(name string, flag int, perm fs.FileMode) (*File, error) {
	m, err := Default()
	if err != nil {
		return nil, &OpError{Op: "open", Name: name, Err: err}
	}
	return m.OpenFile(context.Background(), name, flag, perm)
}

// WithContext returns a view of the file: the same file, whose methods end when ctx does, with an error that wraps both ctx.Err()
// and context.Cause(ctx). The data that moved until then is returned, and no byte is lost: what was not returned is still there to be
// read. Handing the view to io.Copy, a bufio.Scanner or a json.Decoder makes these end too. Closing a view closes the file.
//
// A transfer from or to a regular file that the system has begun cannot be stopped; it ends by itself, with its data.
func (f *File) WithContext(ctx context.Context) *File {
	if ctx == nil {
		panic("ringport: WithContext with a nil context")
	}
	if ctx.Done() == nil { // it never ends
		ctx = nil
	}
	return &File{f.file, ctx}
}

func (f *File) context() context.Context {
	if f.ctx == nil {
		return context.Background()
	}
	return f.ctx
}

// Name returns the name that the file was opened or made with.
func (f *File) Name() string { return f.name }

// Fd returns the descriptor (Windows: the handle), ^uintptr(0) when the file is closed. It stays the file's: it is valid until
// Close, or until the file is unreachable, and must not be closed by others. Unlike os.File's, this Fd changes no mode.
func (f *File) Fd() uintptr {
	if f == nil || f.file == nil || f.state.Load()&fileClosed != 0 {
		return ^uintptr(0)
	}
	return uintptr(f.h)
}

// Close ends what is in flight on the file and all its views, which fails with an error that matches os.ErrClosed unless data
// moved, waits for that, and closes the descriptor. Transfers of regular files are waited for. A second Close fails with
// an error that matches os.ErrClosed. See close(2).
func (f *File) Close() error {
	if f == nil || f.file == nil {
		return errNoFile("close")
	}
	refs := f.state.Or(fileClosed)
	if refs&fileClosed != 0 {
		return f.failed("close", f.why)
	}
	f.cleanup.Stop()
	f.mu.Lock()
	for i := range f.deadlines {
		f.deadlines[i].stop()
	}
	f.end(os.ErrClosed, reading, writing, neither)
	dir := f.dir
	f.mu.Unlock()
	if err := f.drain(refs & fileRefs); err != nil {
		return f.failed("close", err)
	}
	f.report()
	if dir != nil {
		dir.Close()
	}
	f.m.watches.closed(f.h)
	if f.in != nil {
		f.m.arrivals.Remove(int(f.h))
	}
	if err := f.m.closeHandle(f.h); err != nil {
		return f.failed("close", err)
	}
	return nil
}

// drain waits until no call uses h any more. On a caller-driven manager, where Close may be called from a callback that runs
// inside such a call, it waits for the operations instead: the calls find the file closed before they touch h again.
func (f *file) drain(refs uint64) error {
	if f.m.shared {
		if refs > 0 {
			<-f.drained
		}
		return nil
	}
	for f.calls.active() {
		if _, err := f.m.round(-1); err != nil {
			return err // the loop is broken: the system may still use h
		}
	}
	return nil
}

// enter counts a call in, so that it may use the handle until leave, or says that the file is closed.
func (f *File) enter(op string) error {
	if f == nil || f.file == nil {
		return errNoFile(op)
	}
	if f.state.Add(1)&fileClosed != 0 {
		f.leave()
		return f.failed(op, f.why)
	}
	return nil
}

func (f *file) leave() {
	if s := f.state.Add(^uint64(0)); s >= fileDoneMany {
		f.left(s)
	}
}

// leaveDone is leave after an operation without the manager.
func (f *file) leaveDone() {
	if s := f.state.Add(fileDone - 1); s >= fileDoneMany {
		f.left(s)
	}
}

// left does what is rarely due when a call has left.
func (f *file) left(state uint64) {
	if state&(fileClosed|fileRefs) == fileClosed {
		select {
		case f.drained <- struct{}{}:
		default:
		}
	}
	if state&fileDoneMany != 0 {
		f.report()
	}
}

// report adds what was done without the manager to its statistics.
func (f *file) report() {
	if f.state.Load()&fileDoneMask != 0 {
		f.m.ofFiles.Add(int64(f.state.And(^fileDoneMask) & fileDoneMask / fileDone))
	}
}

// failed is err as an error of this file.
func (f *file) failed(op string, err error) error { return &OpError{Op: op, Name: f.name, Err: err} }

// errNoFile is the error of a call on a nil *File.
func errNoFile(op string) error { return &OpError{Op: op, Name: "nil file", Err: fs.ErrInvalid} }
