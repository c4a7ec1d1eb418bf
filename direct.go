package ringport

import (
	"errors"
	"io"
	"syscall"

	"github.com/ringport/ringport/internal/mem"
)

// DirectAlignment is the alignment, in bytes, that direct I/O is content with on every common device: for the addresses and
// lengths of buffers, and for offsets. See open(2), O_DIRECT.
const DirectAlignment = 4096

// AlignedBuffer returns size zero bytes at an address that is a multiple of [DirectAlignment], as files opened with
// [O_DIRECT] need them. Size should be such a multiple too. As with make, a negative size is a panic.
func AlignedBuffer(size int) []byte {
	if size < 0 {
		panic("ringport: AlignedBuffer with a negative size")
	}
	return mem.Aligned(size, DirectAlignment)
}

// MisalignedError says that the system refused direct I/O, and what of it is not a multiple of DirectAlignment.
type MisalignedError struct {
	What string // "buffer address", "buffer length" or "offset"
	Err  error  // the system's answer, EINVAL or ERROR_INVALID_PARAMETER
}

// Error says what is misaligned.
func (e *MisalignedError) Error() string {
	return "direct I/O: the " + e.What + " is not a multiple of 4096: " + e.Err.Error()
}

// Unwrap returns the system's answer.
func (e *MisalignedError) Unwrap() error { return e.Err }

// explain makes err, of a transfer, say what the system's answer does not: that something is misaligned, or (Windows) that the file is a
// directory.
func (f *File) explain(err error, off int64, bufs ...[]byte) error {
	op, ok := err.(*OpError)
	if !ok {
		return err
	}
	if f.directory && op.Err == errReadFolder {
		op.Err = syscall.EISDIR
	}
	if !f.direct || !errors.Is(err, errInvalid) {
		return err
	}
	if off == CurrentOffset {
		off, _ = seekHandle(f.h, 0, io.SeekCurrent)
	}
	what := ""
	if off%DirectAlignment != 0 {
		what = "offset"
	}
	for _, b := range bufs {
		switch {
		case len(b)%DirectAlignment != 0:
			what = "buffer length"
		case !mem.IsAligned(b, DirectAlignment):
			what = "buffer address"
		}
	}
	if what != "" {
		op.Err = &MisalignedError{what, op.Err}
	}
	return err
}
