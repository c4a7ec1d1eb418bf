package sandboxtest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// auditArch is seccomp_data.arch of a native system call, for each architecture that the filter knows.
var auditArch = map[string]uint32{
	"amd64": unix.AUDIT_ARCH_X86_64,
	"arm64": unix.AUDIT_ARCH_AARCH64,
}

// Where struct seccomp_data of seccomp(2) has the number and the architecture of a call, in bytes.
const (
	offsetNumber = 0
	offsetArch   = 4
)

// ioUring are the system calls of io_uring.
var ioUring = []uint32{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}

// Deny makes io_uring_setup, io_uring_enter and io_uring_register fail with errno, on every thread of this process and in every
// process that it starts from now on. It can't be undone; a later Deny decides over an earlier one. The process also gets
// PR_SET_NO_NEW_PRIVS, without which only the privileged may install a filter.
//
// Errors wrap [errors.ErrUnsupported] on an architecture other than amd64 and arm64, and the errno of prctl(2) or seccomp(2) where the
// system refuses.
func Deny(errno syscall.Errno) error { return DenyCalls(errno, ioUring...) }

// DenyCalls is [Deny] for the system calls with these numbers (SYS_* of package unix).
func DenyCalls(errno syscall.Errno, calls ...uint32) error {
	// The kernel caps what a filter answers at its MAX_ERRNO, and takes 0 for success.
	if errno == 0 || errno > 4095 {
		return fmt.Errorf("deny system calls with errno %d: %w", int(errno), syscall.EINVAL)
	}
	return install(unix.SECCOMP_RET_ERRNO|uint32(errno), calls)
}

// Kill is like [Deny], but the calls end the process with SIGSYS, as some sandboxes do.
func Kill() error { return install(unix.SECCOMP_RET_KILL_PROCESS, ioUring) }

// filter is the program that the kernel runs for each system call. Action is what becomes of those to calls.
func filter(arch, action uint32, calls []uint32) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	// Jt and Jf are how many instructions a comparison skips when it holds and when it doesn't.
	program := []unix.SockFilter{
		{Code: load, K: offsetArch},
		{Code: equal, K: arch, Jt: 1},
		// Under a foreign architecture's numbering the calls below would be others: better loud than wrong.
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: offsetNumber},
	}
	for i, call := range calls {
		program = append(program, unix.SockFilter{Code: equal, K: call, Jt: uint8(len(calls) - i)})
	}
	return append(program, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: ret, K: action})
}

func install(action uint32, calls []uint32) error {
	arch, known := auditArch[runtime.GOARCH]
	if !known {
		return fmt.Errorf("filter system calls on %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	program := filter(arch, action, calls)
	// Both calls must come from one thread: the first one marks only its own, the second one passes the mark on with the filter.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// unsafe.Pointer rule 4: converted in the call's own argument list, so prog stays where it is, and what it points to with it,
	// until the kernel has copied both.
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	if thread != 0 {
		return fmt.Errorf("seccomp: thread %d has a filter of its own, so this one can't be everyone's", thread)
	}
	return nil
}
