package process

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// si_code of a child's end, see waitid(2).
const (
	exited = 1 // CLD_EXITED
	killed = 2 // CLD_KILLED
	dumped = 3 // CLD_DUMPED
)

// child is what siginfo_t has of a child; package unix leaves it out.
type child struct {
	pid    int32
	uid    uint32
	status int32
}

// childOffset is where it lies: after three 32-bit numbers, aligned as a pointer is.
const childOffset = (12 + unsafe.Alignof(uintptr(0)) - 1) &^ (unsafe.Alignof(uintptr(0)) - 1)

// waitid is waitid(2). The status is zero if there is none yet (WNOHANG).
func waitid(idType, id, options int) (s Status, err error) {
	var info unix.Siginfo
	var usage unix.Rusage
	for {
		if err = unix.Waitid(idType, id, &info, options, &usage); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return s, err
	}
	// Rule: a pointer into the same variable; unix.Siginfo is as long as the kernel's, 128 bytes.
	c := (*child)(unsafe.Add(unsafe.Pointer(&info), childOffset))
	s.PID = int(c.pid)
	switch info.Code {
	case exited:
		s.Code = int(c.status)
	case killed, dumped:
		s.Code, s.Signal, s.CoreDumped = -1, syscall.Signal(c.status), info.Code == dumped
	}
	s.UserTime, s.SystemTime = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	return s, nil
}
