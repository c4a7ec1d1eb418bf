//go:build unix

package ringport

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// errNoProcess is the answer for a number that is nobody's.
const errNoProcess = unix.ESRCH

const (
	overlappedFiles = false // a File can't be given to a process
	canEscape       = true  // a process can leave its tree
	wine            = false
)

// statuses is how many of n waits for one process get its status.
func statuses(int) int { return 1 }

// escape makes cmd leave the tree of its parent.
func escape(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// isAlive reports whether there is such a process, and it is not over.
func isAlive(pid int) bool {
	if unix.Kill(pid, 0) == unix.ESRCH {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // Linux: one that nobody waits for is there, but over
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

func killProcess(t testing.TB, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestWaitProcess_Signals(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGHUP} {
			p := startProcess(t, "hang")
			if err := p.Signal(sig); err != nil {
				t.Fatal(err)
			}
			s, err := m.WaitProcess(t.Context(), p.Pid)
			if err != nil || s.Signal != sig || s.Code != -1 || s.Success() || s.String() != "signal: "+sig.String() {
				t.Errorf("%v: %+v, %v", sig, s, err)
			}
		}
	})
}

// TestRunCmdTree_Group: a command that leads a session keeps it; one that is to join a group is refused.
func TestRunCmdTree_Group(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		cmd := processCommand(t, "exit 0")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := m.RunCmdTree(t.Context(), cmd); err != nil || cmd.SysProcAttr.Setpgid {
			t.Errorf("a session: %v", err)
		}
		cmd = processCommand(t, "exit 0")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: os.Getpid()}
		err := m.RunCmdTree(t.Context(), cmd)
		if checkMatches(t, err, "run", syscall.EINVAL); cmd.Process != nil {
			t.Error("it was started all the same")
		}
	})
}
