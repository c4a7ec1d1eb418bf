package ringport

import (
	"errors"
	"io"
	"syscall"

	"github.com/ringport/ringport/internal/mem"
)

// Write writes p at the file's position, or at its end if it was opened with O_APPEND, and returns fewer bytes than len(p)
// only with an error. As with os.File, a broken pipe on descriptors 1 and 2 ends the program with SIGPIPE unless it
// handles that signal; elsewhere it is the error EPIPE. On Windows, as with os.File again, it is ERROR_NO_DATA or
// ERROR_BROKEN_PIPE, which do not match EPIPE. With nothing to write nothing is written: no empty message goes into a pipe of
// messages (Windows), for which there is the operation [Write]. See write(2), WriteFile.
func (f *File) Write(p []byte) (int, error) {
	if err := f.enter("write"); err != nil {
		return 0, err
	}
	defer f.leave()
	t := f.turnOf(writing)
	if err := f.takeTurn("write", t, writing); err != nil {
		return 0, err
	}
	defer f.passTurn(t)
	n, err := f.writeAll(p, CurrentOffset)
	if err != nil && errors.Is(err, syscall.EPIPE) {
		if m, werr, ok := writeStandard(f.h, p[n:]); ok {
			return n + m, werr
		}
	}
	return n, err
}

// WriteString is Write of s, without a copy.
func (f *File) WriteString(s string) (int, error) { return f.Write(mem.Bytes(s)) }

// WriteAt writes p from off bytes after the start of the file on, and returns fewer bytes than len(p) only with an error.
// ErrNegativeOffset; ErrAppendMode; ESPIPE for what has no positions. See pwrite(2).
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if err := f.enter("write"); err != nil {
		return 0, err
	}
	defer f.leave()
	if err := f.writableAt("write", off); err != nil {
		return 0, err
	}
	return f.writeAll(p, off)
}

func (f *File) writableAt(op string, off int64) error {
	if f.appends {
		return f.failed(op, ErrAppendMode)
	}
	return f.atOffset(op, off)
}

func (f *File) writeAll(p []byte, off int64) (n int, err error) {
	if len(p) == 0 {
		return 0, f.over("write", writing)
	}
	if f.socket {
		return f.sendAll(p)
	}
	c := fileCalls.Get().(*call)
	defer c.free()
	for n < len(p) {
		at := off
		if off != CurrentOffset {
			at += int64(n)
		}
		c.op = Write(f.h, p[n:], at)
		m, err := f.do(c, writing)
		n += m
		if err == nil && m == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, f.explain(err, at, p[n-m:])
		}
	}
	return n, nil
}

// Writev is Write of several buffers, one after the other. See writev(2).
func (f *File) Writev(bufs [][]byte) (int, error) {
	if err := f.enter("writev"); err != nil {
		return 0, err
	}
	defer f.leave()
	t := f.turnOf(writing)
	if err := f.takeTurn("writev", t, writing); err != nil {
		return 0, err
	}
	defer f.passTurn(t)
	n, err := f.vectored(bufs, CurrentOffset, writing, true)
	if err != nil && errors.Is(err, syscall.EPIPE) {
		for _, rest := range window(nil, bufs, n) {
			if m, werr, ok := writeStandard(f.h, rest); ok {
				return n + m, werr
			}
		}
	}
	return n, err
}

// WritevAt is WriteAt of several buffers, one after the other. See pwritev(2).
func (f *File) WritevAt(bufs [][]byte, off int64) (int, error) {
	if err := f.enter("writev"); err != nil {
		return 0, err
	}
	defer f.leave()
	if err := f.writableAt("writev", off); err != nil {
		return 0, err
	}
	return f.vectored(bufs, off, writing, true)
}

// ReadFrom writes what r has, to its end, and returns how many bytes were written. It does not read from r what it knows it
// cannot write: nothing more once the view's context has ended or the file is closed.
func (f *File) ReadFrom(r io.Reader) (n int64, err error) {
	b := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(b)
	for {
		if err := f.writable(); err != nil {
			return n, err
		}
		m, err := r.Read(*b)
		if m > 0 {
			written, werr := f.Write((*b)[:m])
			n += int64(written)
			if werr != nil {
				return n, werr
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// writable is why a Write would fail at once.
func (f *File) writable() error {
	if err := f.enter("write"); err != nil {
		return err
	}
	defer f.leave()
	return f.over("write", writing)
}
