package sandboxtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What a child process does instead of the tests.
const (
	denyVariable = "RINGPORT_SANDBOXTEST_DENY" // deny with each errno of this list in turn; the last one must be what all threads see
	seeVariable  = "RINGPORT_SANDBOXTEST_SEE"  // see the errno of this name without having denied anything
)

func TestMain(m *testing.M) {
	if list := os.Getenv(denyVariable); list != "" {
		os.Exit(status(denyAndSee(strings.Split(list, ","))))
	}
	if name := os.Getenv(seeVariable); name != "" {
		os.Exit(status(see(names[name])))
	}
	os.Exit(m.Run())
}

func status(err error) int {
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("seen")
	return 0
}

var names = map[string]syscall.Errno{"EPERM": syscall.EPERM, "ENOSYS": syscall.ENOSYS}

var calls = []struct {
	name   string
	number uintptr
}{
	{"io_uring_setup", unix.SYS_IO_URING_SETUP},
	{"io_uring_enter", unix.SYS_IO_URING_ENTER},
	{"io_uring_register", unix.SYS_IO_URING_REGISTER},
}

// denyAndSee checks every thread: the main one, and those that were there before.
func denyAndSee(list []string) error {
	const threads = 4
	var ready, done sync.WaitGroup
	denied := make(chan struct{})
	errs := make([]error, threads)
	var want syscall.Errno
	for i := range threads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-denied
			errs[i] = see(want)
		})
	}
	ready.Wait()
	for _, name := range list {
		want = names[name]
		if err := Deny(want); err != nil {
			return err
		}
	}
	close(denied)
	done.Wait()
	return errors.Join(append(errs, see(want))...)
}

// see checks, on the current thread, that io_uring's calls answer want and that others work.
func see(want syscall.Errno) error {
	for _, c := range calls {
		// No arguments: a kernel that let the call through would answer EFAULT, EBADF or EINVAL.
		if _, _, errno := unix.Syscall6(c.number, 0, 0, 0, 0, 0, 0); errno != want {
			return fmt.Errorf("%s answers %v; want %v", c.name, errno, want)
		}
	}
	if pid := os.Getpid(); pid <= 0 {
		return fmt.Errorf("getpid: %d", pid)
	}
	if _, err := os.ReadFile("/proc/self/status"); err != nil {
		return err
	}
	return nil
}

// runChild runs this test binary as a child, under the given command if there is one.
func runChild(t *testing.T, variable string, command ...string) {
	t.Helper()
	command = append(command, testBinary(t))
	cmd := exec.Command(command[0], command[1:]...)
	// The race detector keeps a process for a second at its end, for reports that nobody here waits for.
	cmd.Env = append(os.Environ(), variable, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "seen\n" {
		t.Fatalf("%v\n%s", err, out)
	}
}

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDenyOnEveryThread(t *testing.T) {
	for _, list := range []string{"EPERM", "ENOSYS", "EPERM,ENOSYS", "ENOSYS,EPERM"} {
		t.Run(list, func(t *testing.T) {
			runChild(t, denyVariable+"="+list)
		})
	}
}

// A filter is there for a child's children too: what makes the command a wrapper for test binaries.
func TestDenyIsInherited(t *testing.T) {
	deny := buildCommand(t)
	for name := range names {
		t.Run(name, func(t *testing.T) {
			runChild(t, seeVariable+"="+name, deny, "-errno", name, "--")
		})
	}
}

func buildCommand(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deny")
	if out, err := exec.Command("go", "build", "-o", path, "./deny").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestCommand(t *testing.T) {
	deny := buildCommand(t)
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		output string // a part of it
	}{
		{"the command's status and output", []string{"--", "sh", "-c", "echo hello; exit 7"}, 7, "hello\n"},
		{"a command's own flags", []string{"echo", "-errno"}, 0, "-errno\n"},
		{"no such errno", []string{"-errno", "EIO", "true"}, 2, "usage: deny"},
		{"no command", nil, 2, "usage: deny"},
		{"a command that is not there", []string{missing}, 1, missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(deny, c.args...)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.output) {
				t.Fatalf("exit status %d, output %q; want %d and %q in it", code, out, c.code, c.output)
			}
		})
	}
}

func TestDenyRefuses(t *testing.T) {
	for _, errno := range []syscall.Errno{0, 4096} {
		if err := Deny(errno); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("Deny(%d): %v; want EINVAL", int(errno), err)
		}
	}
}

// The program itself, on each architecture, against every call that matters: what no single machine could run.
func TestFilter(t *testing.T) {
	const (
		answer = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		allow  = uint32(unix.SECCOMP_RET_ALLOW)
		kill   = uint32(unix.SECCOMP_RET_KILL_PROCESS)
	)
	for goarch, arch := range auditArch {
		program := filter(arch, answer, ioUring)
		for _, c := range []struct {
			name         string
			number, arch uint32
			want         uint32
		}{
			{"io_uring_setup", 425, arch, answer},
			{"io_uring_enter", 426, arch, answer},
			{"io_uring_register", 427, arch, answer},
			{"pidfd_send_signal, the number before", 424, arch, allow},
			{"open_tree, the number after", 428, arch, allow},
			{"number 0", 0, arch, allow},
			{"no number", ^uint32(0), arch, allow},
			{"io_uring_setup of a foreign architecture", 425, unix.AUDIT_ARCH_I386, kill},
			{"another call of a foreign architecture", 0, unix.AUDIT_ARCH_I386, kill},
		} {
			if got := interpret(t, program, c.number, c.arch); got != c.want {
				t.Errorf("%s, %s: %#x; want %#x", goarch, c.name, got, c.want)
			}
		}
	}
}

// interpret runs program as the kernel would, as far as filter's instructions go.
func interpret(t *testing.T, program []unix.SockFilter, number, arch uint32) uint32 {
	t.Helper()
	data := map[uint32]uint32{offsetNumber: number, offsetArch: arch}
	var a uint32
	for i := 0; i < len(program); i++ {
		switch in := program[i]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[in.K]
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == in.K {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %d: code %#x", i, in.Code)
		}
	}
	t.Fatal("the program ends without an answer")
	panic("unreachable")
}
