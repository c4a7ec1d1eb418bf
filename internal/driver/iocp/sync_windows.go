package iocp

import (
	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// execFlush writes a file through to its disk: FlushFileBuffers, which wants write access. There is no call for the data alone.
// On a pipe it waits until the other end has read everything, and can be interrupted.
func execFlush(d *Driver, b *block) (int, error) {
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	return 0, windows.FlushFileBuffers(b.h)
}

func execTruncate(_ *Driver, b *block) (int, error) {
	if b.r.Len < 0 {
		return 0, windows.ERROR_INVALID_PARAMETER
	}
	return 0, windows.Ftruncate(b.h, b.r.Len)
}

// execFallocate makes a file at least as long as asked, for which the system reserves the room unless the file is sparse. It has no call for
// that: what somebody else appends between the look at the length and the change is lost, so that callers keep appends away meanwhile.
func execFallocate(_ *Driver, b *block) (int, error) {
	r := b.r
	switch {
	case r.Arg != 0:
		return 0, driver.ErrUnsupported
	case r.Off < 0 || r.Len <= 0 || r.Off > 1<<63-1-r.Len:
		return 0, windows.ERROR_INVALID_PARAMETER
	}
	var st windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(b.h, &st); err != nil {
		return 0, err
	}
	if r.Off+r.Len <= int64(st.FileSizeHigh)<<32|int64(st.FileSizeLow) {
		return 0, nil
	}
	return 0, windows.Ftruncate(b.h, r.Off+r.Len)
}

// execFadvise: the system takes such advice when a file is opened, and no later.
func execFadvise(_ *Driver, b *block) (int, error) {
	return 0, win32.IsOpen(b.h)
}

// startFlush gives the flush of what may wait for its reader a thread of its own.
func (d *Driver) startFlush(r *driver.Request) bool { return d.startOnWorker(r, true) }
