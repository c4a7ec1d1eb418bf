//go:build unix

package process

import (
	"errors"
	"os"
	"syscall"
)

// Tree is a child with its descendants: the process group that the child leads. Descendants that have left it, for a session of their own
// for instance, are not found.
type Tree struct{ leader int }

// NewTree is a tree without a root.
func NewTree() (*Tree, error) { return &Tree{}, nil }

// Prepare returns attr, which may be nil and is not changed, so that the child will be the root. The error is EINVAL if the child is to
// join a group that there is already.
func (t *Tree) Prepare(attr *syscall.SysProcAttr) (*syscall.SysProcAttr, error) {
	var leads syscall.SysProcAttr
	if attr != nil {
		leads = *attr
	}
	if leads.Pgid != 0 {
		return nil, syscall.EINVAL
	}
	leads.Setpgid = !leads.Setsid // a session's leader leads a group, and may not lead another
	return &leads, nil
}

// Started says which child it is.
func (t *Tree) Started(root *os.Process) error {
	t.leader = root.Pid
	return nil
}

// Kill ends all of them, perhaps none. The root's status must not have been taken: its number would be free for others.
func (t *Tree) Kill() error {
	err := syscall.Kill(-t.leader, syscall.SIGKILL)
	if err == syscall.ESRCH {
		return nil
	}
	return os.NewSyscallError("kill", err)
}

// Kill ends a child alone, unless it has ended.
func Kill(p *os.Process) error {
	err := p.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Close does not end anything.
func (t *Tree) Close() {}
