package ringport

import (
	"context"
	"errors"
	"strconv"

	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/process"
)

// ExitStatus is how a process ended, and what it used of the processor. Its fields are PID; Code, what it exited with (0 to 255, on Windows 32
// bits), -1 if a signal ended it; Signal, what ended it, 0 if it exited and always on Windows; CoreDumped; UserTime and SystemTime of the
// processor, on Unix with the children that it waited for. Success reports whether it exited with 0; String is what os.ProcessState
// says: "exit status 1", "signal: killed". Beside an error Code is -1 and all else is zero, which is no success.
type ExitStatus = process.Status

// ErrNoStatus says that a process is over, and that its status is not to be had (Unix): it was no child of this program, or somebody else
// has waited for it. It matches syscall.ECHILD.
var ErrNoStatus = process.ErrNoStatus

// WaitProcess waits until the process with number pid is over, and takes the status that it left. When ctx ends, so does the wait; the
// process lives on, and can be waited for again.
//
// A status is taken once, by whoever comes first: of a child that package os or os/exec waits for as well, one of the two gets none
// ([ErrNoStatus]). To wait and leave the status to others, wait for [PollIn] by [PollReady] on a pidfd (Windows: on the process's handle).
//
// On Windows any process can be waited for that may be opened, and leaves its status to everybody who asks while it has a handle. On Unix
// any process can be waited for as well, but only a child has a status: after others the error is ErrNoStatus. Where Linux has no pidfds
// (before 5.3, or by a seccomp filter), a thread waits for each, and only for children: others are [ErrUnsupported].
//
// The number of a child is the child's until its status is taken. That of another process may be somebody else's by now: use
// [Manager.WaitProcessHandle].
//
// Beside those, the errors are EINVAL if pid is 0, negative or more than the system's numbers go to, and ESRCH if there is no such process,
// which is so of a child whose status was taken before (Windows: ERROR_INVALID_PARAMETER in all these cases). See pidfd_open(2), waitid(2),
// kqueue(2), GetExitCodeProcess.
func (m *Manager) WaitProcess(ctx context.Context, pid int) (ExitStatus, error) {
	return m.waitProcess(ctx, "process "+strconv.Itoa(pid), func() (*process.Exit, error) { return process.Open(pid) })
}

// WaitProcessHandle is [Manager.WaitProcess] for the process that h stands for: on Linux a pidfd, on Windows a handle with SYNCHRONIZE and
// PROCESS_QUERY_LIMITED_INFORMATION. It stays the caller's. On other systems it is [ErrUnsupported].
func (m *Manager) WaitProcessHandle(ctx context.Context, h Handle) (ExitStatus, error) {
	return m.waitProcess(ctx, "handle "+strconv.Itoa(int(h)), func() (*process.Exit, error) { return process.Of(h) })
}

// noStatus is the status beside an error.
var noStatus = ExitStatus{Code: -1}

func (m *Manager) waitProcess(ctx context.Context, name string, find func() (*process.Exit, error)) (ExitStatus, error) {
	fail := func(err error) (ExitStatus, error) { return noStatus, &OpError{Op: "wait", Name: name, Err: err} }
	if ctx.Err() != nil {
		return fail(ctxend.Cause(ctx))
	}
	x, err := find()
	if err != nil {
		return fail(err)
	}
	defer x.Close()
	op := pollExit(x)
	if _, err := m.Do(ctx, op.Named(name)); err != nil {
		return fail(errors.Unwrap(err))
	}
	s, err := x.Status()
	if err != nil {
		return fail(err)
	}
	return s, nil
}

// pollExit waits until x is over.
func pollExit(x *process.Exit) Op {
	return Op{req: driver.Request{Kind: driver.Poll, FD: x.Handle, Arg: PollIn}}
}
