package ringport

import (
	"io"

	"github.com/ringport/ringport/internal/driver"
)

// advance gives a transfer at the file's position its offset and moves the position past it, and returns by how much; negative
// if it is no such transfer. The system does not do it reliably: io_uring leaves the position where it was when a transfer
// completes later (O_DIRECT), or fails after it has moved something (a full disk), as seen on Linux 6.18. To move it first
// lets a callback, inside a call on a caller-driven manager, do its own.
func (f *file) advance(op *Op) (ahead int64) {
	r := &op.req
	if r.Off != CurrentOffset || !r.Kind.Transfers() || !f.regular || f.directory {
		return -1
	}
	ahead = int64(r.Wanted())
	if f.appendsBy(op) {
		r.Off = 0 // which the system does not look at
		return ahead
	}
	if end, err := seekHandle(f.h, ahead, io.SeekCurrent); err == nil {
		r.Off = end - ahead
		return ahead
	}
	if off, err := seekHandle(f.h, 0, io.SeekCurrent); err == nil { // there is no such position on a block device of that size
		r.Off = off
		return 0
	}
	return -1
}

// settle moves the position to where a transfer of n bytes leaves it.
func (f *file) settle(op *Op, ahead int64, n int) {
	switch {
	case ahead < 0:
	case f.appendsBy(op):
		if n > 0 {
			seekHandle(f.h, 0, io.SeekEnd)
		}
	case int64(n) != ahead:
		seekHandle(f.h, int64(n)-ahead, io.SeekCurrent)
	}
}

// appendsBy reports whether op writes to the end of the file, wherever the position is.
func (f *file) appendsBy(op *Op) bool {
	return f.appends && (op.req.Kind == driver.Write || op.req.Kind == driver.Writev)
}
