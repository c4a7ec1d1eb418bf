package ringport

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
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

// manyScripts are what TestRunCmd_Many runs.
var manyScripts = []manyCommand{
	{"say short", "short\n", true},
	{"exit 3", "", true},
	{"hang hangs", "hangs\n", false},
	{"parent kept", "%d\n", false},
	{"parent kept hangs", "%d\n", false},
	{"copy", "input\n", false},
}

// manyCount is how many of them are run, and how many at a time.
func manyCount() (total, atOnce int) {
	if wine {
		return 60, 8
	}
	return 1000, 50
}

func (c manyCommand) command(t testing.TB) *exec.Cmd { return processCommand(t, c.script) }

// killMarked ends the processes whose numbers were said, and says how many there were.
func killMarked(_ string, outputs []string) (n int) {
	for _, out := range outputs {
		pid, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			continue
		}
		h, err := windows.OpenProcess(windows.PROCESS_TERMINATE|windows.SYNCHRONIZE, false, uint32(pid))
		if err != nil {
			continue
		}
		if windows.TerminateProcess(h, 1) == nil {
			n++
		}
		windows.CloseHandle(h)
	}
	return n
}

// leftOfProcesses is to find nothing once all that was started after it was called is over.
func leftOfProcesses(*testing.T) (check func() error) {
	before := processHandles()
	return func() error {
		if now := processHandles(); now.processes > before.processes || now.pipes > before.pipes { // the collector may close what a test before forgot
			return fmt.Errorf("handles of processes, jobs and pipes: %v, and %v before", now, before)
		}
		return nil
	}
}

// processHandles counts the handles of processes and of pipes that this process has, of those with a small number.
func processHandles() (n struct{ processes, pipes int }) {
	for h := windows.Handle(4); h < 1<<14; h += 4 {
		if pid, err := windows.GetProcessId(h); err == nil && pid != 0 {
			n.processes++
		}
		if kind, err := windows.GetFileType(h); err == nil && kind == windows.FILE_TYPE_PIPE {
			n.pipes++
		}
	}
	return n
}

func TestWaitProcess_Handle(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		p := startProcess(t, "exit 0x")
		h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(p.Pid))
		if err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(h)
		for range 2 { // the status stays
			if s, err := m.WaitProcessHandle(t.Context(), Handle(h)); err != nil || s.PID != p.Pid || s.Code != 1 {
				t.Errorf("%+v, %v", s, err)
			}
		}
		event, err := windows.CreateEvent(nil, 1, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(event)
		s, err := m.WaitProcessHandle(t.Context(), Handle(event))
		if !errors.Is(err, windows.ERROR_INVALID_HANDLE) && !errors.Is(err, windows.ERROR_ACCESS_DENIED) &&
			!errors.Is(err, windows.STATUS_OBJECT_TYPE_MISMATCH) {
			t.Errorf("an event: %+v, %v", s, err)
		}
	})
	if s := (ExitStatus{Code: 0xc0000005}); s.String() != "exit status 0xc0000005" {
		t.Error(s)
	}
}
