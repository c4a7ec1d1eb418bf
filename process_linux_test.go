package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/patience"
	"github.com/ringport/ringport/internal/sandboxtest"
)

// noPidfdVariable makes the tests themselves run where there are no pidfds, with the errno of this name.
const noPidfdVariable = "RINGPORT_TEST_NO_PIDFD"

func init() {
	if name := os.Getenv(noPidfdVariable); name != "" {
		if err := sandboxtest.DenyCalls(denials[name], unix.SYS_PIDFD_OPEN); err != nil {
			panic(err)
		}
	}
}

// hasPidfds is false for the tests that TestWaitProcess_WithoutPidfds runs.
func hasPidfds() bool { return os.Getenv(noPidfdVariable) == "" }

// TestWaitProcess_WithoutPidfds runs the tests of processes where there are none, which includes that nothing is left behind.
func TestWaitProcess_WithoutPidfds(t *testing.T) {
	if !hasPidfds() {
		return // this is one of them
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name := range denials {
		t.Run(name, func(t *testing.T) {
			tests := "^Test(WaitProcess|RunCmd)"
			if raceEnabled && name != "EPERM" { // each child takes a tenth of a second to start
				tests = "^TestWaitProcess"
			}
			cmd := exec.CommandContext(t.Context(), exe, "-test.v", "-test.run="+tests)
			cmd.Env = append(os.Environ(), noPidfdVariable+"="+name)
			out, err := cmd.CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("--- PASS: TestWaitProcess_ContextEnds/pool/threaded")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestWaitProcess_ThreadsEnd: ending the context of a wait leaves no thread blocked, nor a descriptor.
func TestWaitProcess_ThreadsEnd(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		p := startProcess(t, "hang")
		before := descriptors()
		const waits = 30
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for range waits {
			all.Go(func() {
				_, err := m.WaitProcess(ctx, p.Pid)
				checkMatches(t, err, "wait", context.Canceled)
			})
		}
		if err := patience.Until(func() error {
			if n, blocked := m.Stats().InFlight, blockedInWait(t); n != waits || !hasPidfds() && blocked != waits || hasPidfds() && blocked != 0 {
				return fmt.Errorf("%d waits, %d threads", n, blocked)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		cancel()
		all.Wait()
		if n := blockedInWait(t); n != 0 {
			t.Errorf("%d threads are left", n)
		}
		if err := strangeDescriptors(before); err != nil {
			t.Error(err)
		}
		if err := patience.Until(func() error { return goroutinesOf(nil, "internal/process") }); err != nil { // one that has said so may not have returned
			t.Error(err)
		}
	})
}

// blockedInWait is how many threads of this process are in waitid(2).
func blockedInWait(t *testing.T) (n int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/syscall")
	if err != nil || len(names) == 0 {
		t.Fatal("threads can't be listed", err)
	}
	for _, name := range names {
		call, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(call), strconv.Itoa(unix.SYS_WAITID)+" ") {
			n++
		}
	}
	return n
}

// TestWaitProcess_NoChild: others can be waited for, but have no status for us.
func TestWaitProcess_NoChild(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		parent := processCommand(t, "parent escaped hangs")
		pids := make(chan int, 1)
		parent.Stdout = onLine(func(line string) {
			pid, _ := strconv.Atoi(line)
			pids <- pid
		})
		parent.WaitDelay = time.Nanosecond
		if err := parent.Start(); err != nil {
			t.Fatal(err)
		}
		defer parent.Wait()
		defer parent.Process.Kill()
		pid := <-pids
		defer unix.Kill(pid, unix.SIGKILL)
		if !hasPidfds() {
			if s, err := m.WaitProcess(t.Context(), pid); !errors.Is(err, ErrUnsupported) {
				t.Errorf("without pidfds: %+v, %v", s, err)
			}
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		whileInFlight(m, cancel)
		s, err := m.WaitProcess(ctx, pid)
		checkMatches(t, err, "wait", context.Canceled)
		if s != noStatus {
			t.Errorf("cancelled: %+v", s)
		}

		whileInFlight(m, func() { killProcess(t, pid) })
		if s, err := m.WaitProcess(t.Context(), pid); !errors.Is(err, ErrNoStatus) || !errors.Is(err, syscall.ECHILD) || s != noStatus || s.Success() {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestWaitProcess_Handle(t *testing.T) {
	if !hasPidfds() {
		return
	}
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		p := startProcess(t, "hang")
		fd, err := unix.PidfdOpen(p.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		ctx, cancel := context.WithCancel(context.Background())
		whileInFlight(m, cancel)
		_, err = m.WaitProcessHandle(ctx, Handle(fd))
		checkMatches(t, err, "wait", context.Canceled)
		whileInFlight(m, func() { p.Kill() })
		s, err := m.WaitProcessHandle(t.Context(), Handle(fd))
		if err != nil || s.PID != p.Pid || s.Signal != unix.SIGKILL {
			t.Errorf("%+v, %v", s, err)
		}
		if s, err := m.WaitProcessHandle(t.Context(), Handle(fd)); !errors.Is(err, ErrNoStatus) || s != noStatus {
			t.Errorf("once more: %+v, %v", s, err)
		}
	})
}

func TestWaitProcess_CoreDumped(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		cmd := exec.Command("/bin/sh", "-c", "ulimit -c 0 2>/dev/null; kill -ABRT $$")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s, err := m.WaitProcess(t.Context(), cmd.Process.Pid)
		if err != nil || s.Signal != unix.SIGABRT || s.CoreDumped || s.String() != "signal: aborted" {
			t.Errorf("%+v, %v", s, err)
		}
		cmd.Wait()
	})
	s := ExitStatus{Code: -1, Signal: unix.SIGABRT, CoreDumped: true}
	if s.String() != "signal: aborted (core dumped)" {
		t.Error(s)
	}
}

// manyScripts are what TestRunCmd_Many runs, by the shell, which starts sooner than the tests' own program. What hangs lasts longer
// than the test.
var manyScripts = []manyCommand{
	{"echo short", "short\n", true},
	{"echo fails; exit 3", "fails\n", true},
	{"echo hangs; exec sleep 600", "hangs\n", false},
	{"echo holds; sleep 600 & exit 0", "holds\n", false},
	{"echo both; sleep 600 & sleep 600", "both\n", false},
	{"echo away; setsid sleep 600 & wait", "away\n", false},
	{"echo deaf; trap '' TERM INT HUP; sleep 600; sleep 600", "deaf\n", false},
	{"cat", "input\n", false},
}

// manyCount is how many of them are run, and how many at a time.
func manyCount() (total, atOnce int) {
	if !hasPidfds() || os.Getenv(denyVariable) != "" { // once more
		return 200, 50
	}
	return 1000, 50
}

func (c manyCommand) command(testing.TB) *exec.Cmd { return exec.Command("/bin/sh", "-c", c.script) }

// leftOfProcesses is to find nothing once all that was started after it was called is over.
func leftOfProcesses(t *testing.T) (check func() error) {
	before := descriptors()
	return func() error {
		err := errors.Join(zombies(), strangeDescriptors(before))
		if n := blockedInWait(t); n != 0 {
			err = errors.Join(err, fmt.Errorf("%d threads wait for processes", n))
		}
		return err
	}
}

// forProcesses calls f for every process of the system that can be looked at.
func forProcesses(f func(pid int, dir string)) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			f(pid, dir)
		}
	}
}

// killMarked ends the processes with mark in their environment, and says how many there were.
func killMarked(mark string, _ []string) (n int) {
	forProcesses(func(pid int, dir string) {
		if env, err := os.ReadFile(dir + "/environ"); err == nil && bytes.Contains(env, []byte(mark)) {
			unix.Kill(pid, unix.SIGKILL)
			n++
		}
	})
	return n
}

// zombies reports children of this process that nobody has waited for.
func zombies() error {
	var errs []error
	forProcesses(func(pid int, dir string) {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			return
		}
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(rest))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			errs = append(errs, fmt.Errorf("child %d is left: %s", pid, stat))
		}
	})
	return errors.Join(errs...)
}

const treeVariable = "RINGPORT_TEST_TREE"

// immuneChild starts a process as root, and is another user when it would kill it.
var immuneChild = child("immune", func() error {
	m, err := New(Config{Backend: os.Getenv(BackendVariable)})
	if err != nil {
		return err
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.Command("/bin/sh", "-c", "echo $$; exec sleep 600")
	out := onLine(func(string) {
		if err := syscall.Setresuid(65534, 65534, 65534); err != nil {
			fmt.Println(err)
		}
		cancel()
	})
	cmd.Stdout = out
	err = run(m, os.Getenv(treeVariable) != "", ctx, cmd)
	fmt.Println(out)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, syscall.EPERM) {
		return err
	}
	return nil
})

// TestRunCmd_Immune: a command that may not be killed lives on, and RunCmd returns.
func TestRunCmd_Immune(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, which gives up the right to kill its child")
	}
	forBackends(t, func(t *testing.T, env string) {
		for _, tree := range []string{"", "tree"} {
			out := runChild(t, immuneChild, env, treeVariable+"="+tree)
			pid, err := strconv.Atoi(strings.TrimSpace(out))
			if err != nil || !isAlive(pid) {
				t.Errorf("%q was killed: %v", out, err)
				continue
			}
			killProcess(t, pid)
		}
	})
}
