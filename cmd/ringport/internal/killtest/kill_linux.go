// Package killtest makes the system end this process when it asks for io_uring, as strict sandboxes do. It is for tests.
package killtest

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const offsetNumber = 0 // of the call's number in struct seccomp_data, see seccomp(2)

// KillOnRing installs a filter that ends the process, and every process that it starts from now on, at io_uring_setup. The
// number of that call is the same on all architectures, but foreign numberings are let through: it is no boundary.
func KillOnRing() error {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetNumber},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	// The two calls must come from one thread: the first marks only its own.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// unsafe.Pointer rule 4: converted in the call's own argument list, so that prog and what it points to stay where they
	// are until the kernel has copied both.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	return nil
}
