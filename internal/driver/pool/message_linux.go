//go:build !portable

package pool

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// moveMessage is recvmsg(2) or sendmsg(2) of what r has still to move, and of what belongs to its message. Unlike package unix's functions
// it allocates nothing, and takes addresses of every family.
func moveMessage(r *driver.Request, fd, flags int) (int, error) {
	var few [8]unix.Iovec
	iov := appendIovecs(few[:0], r)
	of := messageOf(r)
	header := unix.Msghdr{Iov: unsafe.SliceData(iov)}
	header.SetIovlen(len(iov))
	call := uintptr(unix.SYS_SENDMSG)
	if r.Kind.Reads() {
		call = unix.SYS_RECVMSG
	}
	if r.N == 0 { // else it is the rest of a stream
		if of.Address != nil {
			header.Name, header.Namelen = &of.Address.Raw[0], of.Address.Len
			if r.Kind.Reads() {
				header.Namelen = driver.AddressBytes
			}
		}
		if len(of.Control) > 0 {
			header.Control = &of.Control[0]
			header.SetControllen(len(of.Control))
		}
	}
	var n uintptr
	var errno unix.Errno
	// Rule: pointers are converted in the call's own argument list, and r keeps the buffers reachable.
	if flags&unix.MSG_DONTWAIT != 0 && r.Wanted() <= maxSend {
		n, _, errno = unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&header)), uintptr(flags))
	} else {
		n, _, errno = unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(&header)), uintptr(flags))
	}
	if errno != 0 {
		return 0, errno
	}
	if r.Kind.Reads() && of != &noMessage {
		of.ControlBytes, of.Flags = int(header.Controllen), uint32(header.Flags)
		if of.Address != nil && r.N == 0 {
			of.Address.Len = min(header.Namelen, driver.AddressBytes)
		}
	}
	return int(n), nil
}
