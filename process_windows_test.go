package ringport

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/windows"
)

// errNoProcess is the answer for a number that is nobody's.
const errNoProcess = windows.ERROR_INVALID_PARAMETER

const (
	overlappedFiles = true  // a File can't be given to a process
	canEscape       = false // no process can leave its tree
)

// statuses is how many of n waits for one process get its status.
func statuses(n int) int { return n }

// escape: there is no way out of a job.
func escape(*exec.Cmd) {}

// isAlive reports whether there is such a process, and it is not over.
func isAlive(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	s, err := windows.WaitForSingleObject(h, 0)
	return err == nil && s == uint32(windows.WAIT_TIMEOUT)
}

func killProcess(t testing.TB, pid int) {
	t.Helper()
	h, err := windows.OpenProcess(windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		t.Error(err)
		return
	}
	defer windows.CloseHandle(h)
	if err := windows.TerminateProcess(h, 1); err != nil {
		t.Error(err)
	}
}
