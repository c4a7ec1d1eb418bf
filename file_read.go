package ringport

import (
	"io"
	"runtime/trace"
	"sync"
	"syscall"

	"github.com/ringport/ringport/internal/driver"
)

// Read reads up to len(p) bytes at the file's position, or what a file without one has next, waiting for the first. At most
// [MaxTransferBytes] at a time. At the end of the file it returns 0, io.EOF. A pipe of messages (Windows) gives one message at a time,
// as [Read] does: the error beside part of one is ErrMoreData, and an empty one is 0 bytes and no error. See read(2), ReadFile.
func (f *File) Read(p []byte) (int, error) {
	if err := f.enter("read"); err != nil {
		return 0, err
	}
	defer f.leave()
	if len(p) == 0 {
		return 0, f.over("read", reading)
	}
	t := f.turnOf(reading)
	if err := f.takeTurn("read", t, reading); err != nil {
		return 0, err
	}
	defer f.passTurn(t)
	return f.readOnce(p, CurrentOffset)
}

// ReadAt reads len(p) bytes from off bytes after the start of the file on. It returns fewer only with an error: io.EOF at the
// end of the file. ErrNegativeOffset; ESPIPE for what has no positions, on Windows too. See pread(2).
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if f == nil || f.file == nil {
		return 0, errNoFile("read")
	}
	// Most calls end in the middle of this. One that does not, for whatever reason, reads again in readAt.
	state := f.state.Add(1)
	if state&(fileClosed|deadlineBits) == 0 && f.warm.Load() == warmFrom && f.ctx == nil && off >= 0 && !isSample(off) && !f.m.closing() && !f.m.observed() {
		if len(p) != 0 && len(p) <= MaxTransferBytes && readHere(f.h, p, off) == len(p) {
			f.leaveDone()
			return len(p), nil
		}
	}
	return f.readAt(p, off, state)
}

// readAt is the rest of ReadAt, entered with the given state.
func (f *File) readAt(p []byte, off int64, state uint64) (n int, err error) {
	defer f.leave()
	if state&fileClosed != 0 {
		return 0, f.failed("read", f.why)
	}
	f.report()
	if err := f.atOffset("read", off); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, f.over("read", reading)
	}
	for n < len(p) && err == nil {
		var m int
		m, err = f.readOnce(p[n:], off+int64(n))
		n += m
		if f.direct && err == nil && n < len(p) && n%sectorBytes != 0 {
			return n, io.EOF // only the end of the file cuts a sector, and asking there would be misaligned
		}
	}
	return n, err
}

// sectorBytes is the smallest unit of direct I/O on any device.
const sectorBytes = 512

// readOnce is one read, from the page cache if all of it is there.
func (f *File) readOnce(p []byte, off int64) (int, error) {
	if f.socket {
		return f.receive(p)
	}
	if off >= 0 && len(p) <= maxCachedBytes && f.regular && !f.direct && f.over("read", reading) == nil {
		if n, ok := f.readCached(p, off); ok {
			f.state.Add(fileDone)
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
	}
	c := fileCalls.Get().(*call)
	defer c.free()
	c.op = Read(f.h, p, off)
	n, err := f.do(c, reading)
	return n, f.explain(err, off, p)
}

// A file is warm when so many reads in a row were answered from the page cache that the next one will be too. Then ReadAt
// reads on the caller's own thread without asking for the cache alone: of 4 KiB, pread(2) takes 720 ns, and preadv2(2) with
// RWF_NOWAIT 780 ns, although the scheduler need not be told of it. A sample of the reads asks all the same, so that a file that
// is out of the cache is soon found out: a miss is to be queued, and not to block a thread.
const (
	warmFrom       = 64
	maxCachedBytes = 64 << 10 // the longest read that asks: it keeps the scheduler from this processor for some 10 µs
)

// isSample picks one offset in 64, whatever the distance between the offsets that are read.
func isSample(off int64) bool { return uint64(off>>9)*0x9e3779b97f4a7c15>>58 == 0 }

// readCached reads what the page cache has, if that is all of p, and keeps account of how warm the file is.
func (f *File) readCached(p []byte, off int64) (n int, ok bool) {
	if trace.IsEnabled() { // which ReadAt does not ask, for 3 of its 470 ns: the sample finds out, and the file is not warm while it is so
		defer f.warm.Store(0)
		defer trace.StartRegion(f.context(), regionName("cached")).End()
	}
	n, ok = tryCached(f.h, p, off)
	if warm := f.warm.Load(); !ok {
		f.warm.Store(0)
	} else if warm < warmFrom && f.crowd != 0 {
		f.warm.CompareAndSwap(warm, warm+1)
	}
	return n, ok
}

// atOffset is what is wrong with a transfer at off.
func (f *File) atOffset(op string, off int64) error {
	switch {
	case off < 0:
		return f.failed(op, ErrNegativeOffset)
	case !f.seekable:
		return f.failed(op, syscall.ESPIPE)
	}
	return nil
}

// Readv is Read into several buffers, one after the other. See readv(2).
func (f *File) Readv(bufs [][]byte) (int, error) {
	if err := f.enter("readv"); err != nil {
		return 0, err
	}
	defer f.leave()
	t := f.turnOf(reading)
	if err := f.takeTurn("readv", t, reading); err != nil {
		return 0, err
	}
	defer f.passTurn(t)
	return f.vectored(bufs, CurrentOffset, reading, false)
}

// ReadvAt is ReadAt into several buffers, one after the other. See preadv(2).
func (f *File) ReadvAt(bufs [][]byte, off int64) (int, error) {
	if err := f.enter("readv"); err != nil {
		return 0, err
	}
	defer f.leave()
	if err := f.atOffset("readv", off); err != nil {
		return 0, err
	}
	return f.vectored(bufs, off, reading, true)
}

// maxVec is the most buffers that one operation takes (IOV_MAX).
const maxVec = 1024

// vectored moves bufs, as many in one operation as it takes: all of them if whole, else what one operation moves.
func (f *File) vectored(bufs [][]byte, off int64, w way, whole bool) (n int, err error) {
	c := fileCalls.Get().(*call)
	defer c.free()
	for {
		c.bufs = window(c.bufs[:0], bufs, n)
		if len(c.bufs) == 0 {
			if n == 0 {
				err = f.over(vectoredKind[w].String(), w)
			}
			return n, err
		}
		at := off
		if off != CurrentOffset {
			at += int64(n)
		}
		c.ext.Vec = c.bufs
		c.op = Op{req: driver.Request{Kind: vectoredKind[w], FD: f.h, Off: at, Ext: &c.ext}}
		m, err := f.do(c, w)
		n += m
		switch {
		case err != nil:
			return n, f.explain(err, at, c.bufs...)
		case !whole:
			return n, nil
		case m == 0:
			return n, io.ErrUnexpectedEOF
		case w == reading && f.direct && m%sectorBytes != 0 && len(window(nil, bufs, n)) > 0:
			return n, io.EOF // as in ReadAt
		}
	}
}

var vectoredKind = [...]driver.Kind{reading: driver.Readv, writing: driver.Writev}

// window appends to into what one operation takes of bufs after the first skip bytes. Empty buffers are left out.
func window(into, bufs [][]byte, skip int) [][]byte {
	room := maxVecBytes
	for _, b := range bufs {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		b = b[skip:]
		b = b[:min(len(b), room)]
		skip = 0
		into = append(into, b)
		if room -= len(b); room == 0 || len(into) == maxVec {
			break
		}
	}
	return into
}

// copyBytes is how much ReadFrom and WriteTo move at a time.
const copyBytes = 128 << 10

var copyBuffers = sync.Pool{New: func() any {
	b := AlignedBuffer(copyBytes)
	return &b
}}

// WriteTo reads the file to its end and writes it to w, and returns how many bytes w took. A context that ends while the file
// is waited for takes no byte from it; bytes that w fails to take are lost to the file. Where messages begin and end is lost.
func (f *File) WriteTo(w io.Writer) (n int64, err error) {
	b := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(b)
	for {
		m, err := f.Read(*b)
		if m > 0 {
			written, werr := w.Write((*b)[:m])
			n += int64(written)
			if werr != nil {
				return n, werr
			}
			if written < m {
				return n, io.ErrShortWrite
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil && !moreFollows(err) {
			return n, err
		}
	}
}
