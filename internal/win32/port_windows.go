package win32

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// OverlappedEntry is OVERLAPPED_ENTRY, one packet of a port. Overlapped is an address as a number: it may be anybody's who
// uses a handle of the port, so it must be looked up and never just followed, and the collector must not take it for a pointer.
type OverlappedEntry struct {
	Key        uintptr
	Overlapped uintptr
	Internal   uintptr // the NTSTATUS; MSDN calls it reserved
	Bytes      uint32
	_          uint32
}

// Infinite, as a timeout in milliseconds, is no timeout: INFINITE.
const Infinite = 1<<32 - 1

var procGetQueuedCompletionStatusEx = modkernel32.NewProc("GetQueuedCompletionStatusEx")

// GetQueuedCompletionStatusEx takes at most count packets from port. It fails with WAIT_TIMEOUT when milliseconds have passed, and
// with ERROR_ABANDONED_WAIT_0 on a port that is closed meanwhile. Only the first removed entries mean anything. It isn't generated, since
// a number in an error would be an allocation each time that there is nothing.
func GetQueuedCompletionStatusEx(port windows.Handle, entries *OverlappedEntry, count uint32, removed *uint32, milliseconds uint32) syscall.Errno {
	const alertable = 0
	ok, _, errno := syscall.SyscallN(procGetQueuedCompletionStatusEx.Addr(), uintptr(port), uintptr(unsafe.Pointer(entries)), uintptr(count),
		uintptr(unsafe.Pointer(removed)), uintptr(milliseconds), alertable)
	switch {
	case ok != 0:
		return 0
	case errno == 0:
		return syscall.EINVAL
	}
	return errno
}
