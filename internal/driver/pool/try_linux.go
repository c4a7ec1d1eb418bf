package pool

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// The longest transfers that TrySend and TryReceive make without a word to the scheduler, which believes meanwhile that the processor runs
// Go code. On the loopback a send delivers as well, 16 KiB in some 10 µs; a receive only copies.
const (
	maxSend    = 16 << 10
	maxReceive = 64 << 10
)

// TrySend sends what there is room for: sendto(2) with MSG_DONTWAIT. EAGAIN says that there is none, ENOTSOCK that fd is no socket. Since
// it can't block, a short one goes without a word to the scheduler. A broken connection is EPIPE and raises no signal.
func TrySend(fd int, buf []byte) (int, error) {
	return try(unix.SYS_SENDTO, fd, buf, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, maxSend)
}

// TryReceive receives what there is: recvfrom(2) with MSG_DONTWAIT. Errors as TrySend's.
func TryReceive(fd int, buf []byte) (int, error) {
	return try(unix.SYS_RECVFROM, fd, buf, unix.MSG_DONTWAIT, maxReceive)
}

// TryMessage carries out a RecvMsg or SendMsg on a socket of messages without waiting, and reports whether it is over, with N and Err set.
func TryMessage(r *driver.Request, fd int) (done bool) {
	r.Reset()
	flags := int(r.Arg) | unix.MSG_DONTWAIT
	if !r.Kind.Reads() {
		flags |= unix.MSG_NOSIGNAL
	}
	r.N, r.Err = moveMessage(r, fd, flags)
	return r.Err != unix.EAGAIN || r.Arg&unix.MSG_DONTWAIT != 0
}

// TryReceiveFrom receives a message that is there, and its sender's address unless from is nil: recvfrom(2) with MSG_DONTWAIT, which has
// less to fetch and to tell than recvmsg(2): a fifth of the time of a short message. Errors as TrySend's.
func TryReceiveFrom(fd int, buf []byte, from *driver.Address) (int, error) {
	if from == nil {
		return TryReceive(fd, buf)
	}
	var n uintptr
	var errno unix.Errno
	size := uint32(driver.AddressBytes)
	*from = driver.Address{}
	// Rule: the pointers are converted in the call's own argument list.
	if p := unsafe.SliceData(buf); len(buf) <= maxReceive {
		n, _, errno = unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(len(buf)), unix.MSG_DONTWAIT,
			uintptr(unsafe.Pointer(&from.Raw)), uintptr(unsafe.Pointer(&size)))
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(len(buf)), unix.MSG_DONTWAIT,
			uintptr(unsafe.Pointer(&from.Raw)), uintptr(unsafe.Pointer(&size)))
	}
	if errno != 0 {
		return 0, errno
	}
	from.Len = min(size, driver.AddressBytes)
	return int(n), nil
}

// TrySendTo sends buf as a message, if there is room for it: sendto(2) with MSG_DONTWAIT. The zero Address is where the socket is connected
// to. Errors as TrySend's.
func TrySendTo(fd int, buf []byte, to *driver.Address) (int, error) {
	if to.Len == 0 {
		return TrySend(fd, buf)
	}
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	var n uintptr
	var errno unix.Errno
	// Rule: as above.
	if p := unsafe.SliceData(buf); len(buf) <= maxSend {
		n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(len(buf)), flags,
			uintptr(unsafe.Pointer(&to.Raw)), uintptr(to.Len))
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(len(buf)), flags,
			uintptr(unsafe.Pointer(&to.Raw)), uintptr(to.Len))
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func try(call uintptr, fd int, buf []byte, flags uintptr, quiet int) (int, error) {
	var n uintptr
	var errno unix.Errno
	// Rule: the pointer is converted in the call's own argument list.
	if p := unsafe.SliceData(buf); len(buf) <= quiet {
		n, _, errno = unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(len(buf)), flags, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(len(buf)), flags, 0, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
