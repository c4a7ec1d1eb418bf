package process

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
)

// Tree is a child with its descendants: the members of a job. None can leave it.
type Tree struct {
	job       windows.Handle
	suspended bool // the caller wants the child suspended
}

// NewTree is a tree without a root.
func NewTree() (*Tree, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, os.NewSyscallError("CreateJobObject", err)
	}
	return &Tree{job: job}, nil
}

// Prepare returns attr, which may be nil and is not changed, so that the child can become the root. It begins suspended: it must not start
// a process before it is in the job.
func (t *Tree) Prepare(attr *syscall.SysProcAttr) (*syscall.SysProcAttr, error) {
	var waits syscall.SysProcAttr
	if attr != nil {
		waits = *attr
	}
	t.suspended = waits.CreationFlags&windows.CREATE_SUSPENDED != 0
	waits.CreationFlags |= windows.CREATE_SUSPENDED
	return &waits, nil
}

// Started says which child it is, and lets it run.
func (t *Tree) Started(root *os.Process) error {
	// The number is the child's as long as root has its handle.
	const rights = windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE | windows.PROCESS_SUSPEND_RESUME
	h, err := windows.OpenProcess(rights, false, uint32(root.Pid))
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer windows.CloseHandle(h)
	if err := windows.AssignProcessToJobObject(t.job, h); err != nil {
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	if t.suspended {
		return nil
	}
	return os.NewSyscallError("NtResumeProcess", win32.NtResumeProcess(h))
}

// Kill ends all of them, with exit status 1 as os.Process.Kill.
func (t *Tree) Kill() error {
	return os.NewSyscallError("TerminateJobObject", windows.TerminateJobObject(t.job, 1))
}

// Kill ends a child alone, unless it has ended. The handle that package os has of a child allows everything, so that ERROR_ACCESS_DENIED
// means that it is ending (STATUS_PROCESS_IS_TERMINATING).
func Kill(p *os.Process) error {
	err := p.Kill()
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil
	}
	return err
}

// Close does not end anything.
func (t *Tree) Close() { windows.CloseHandle(t.job) }
