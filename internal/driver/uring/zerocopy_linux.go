package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// A zero-copy send has two completions: the answer, when the data is in the socket's queue, and the notification, when the kernel does not need the
// buffer any more, which for TCP is when the peer has acknowledged all. Only with the second the request is back. See io_uring_prep_send_zc(3).

// lend makes a send's entry one without a copy, where that can be had. A registered file has no descriptor for resetConnection.
func (d *Driver) lend(sqe *ring.SQE, r *driver.Request) {
	if _, registered := r.FD.Registered(); registered || !d.lends || d.slots[r.State.Slot-1].copies {
		return
	}
	switch r.Kind {
	case driver.Send:
		sqe.Opcode = ring.OpSendZC
	case driver.SendMsg:
		sqe.Opcode = ring.OpSendMsgZC
	default:
		return
	}
	sqe.IOPrio |= ring.SendReportUsage
}

// mustCopy reports whether an error says that this socket (Unix sockets), or the limit of locked memory, has no zero-copy sends.
func mustCopy(errno unix.Errno) bool {
	return errno == unix.EOPNOTSUPP || errno == unix.ENOMEM || errno == unix.ENOBUFS
}

// lent takes in the answer of a zero-copy send, whose buffer is still the kernel's.
func (d *Driver) lent(r *driver.Request, s *slot, res int32) {
	s.answered, s.answer = true, res
	if r.State.Canceling {
		resetConnection(r, s)
	}
}

// given takes in the notification, and returns the answer that came before.
func given(r *driver.Request, s *slot, res int32) (answer int32) {
	r.ZeroCopied = s.answer > 0 && uint32(res)&ring.NotifCopied == 0
	s.answered = false
	return s.answer
}

// resetConnection ends the connection of r, which is cancelled while its data is on the way: connect(2) to no address has TCP drop what it has queued, and
// so let go of the buffer. Otherwise a peer that does not read, or is away, could keep r for as long as it likes. A datagram leaves by itself. The
// lock is held: without it r might be back and its descriptor another's. The call does not wait.
func resetConnection(r *driver.Request, s *slot) {
	fd := int(descriptor(r.FD))
	if s.answer <= 0 {
		return
	}
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return
	}
	nowhere := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	// Rule: the pointer is converted in the call's own argument list.
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), unsafe.Sizeof(nowhere))
	s.reset = errno == 0
}
