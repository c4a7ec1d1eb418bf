package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/cmd/ringport/internal/killtest"
	"github.com/ringport/ringport/internal/sandboxtest"
)

// What the command is to do to itself before it begins, in tests.
const (
	mountVariable = "RINGPORT_TEST_MOUNT" // options of a tmpfs over the current folder
	denyVariable  = "RINGPORT_TEST_DENY"  // io_uring answers with this errno, or KILL
)

func prepareCommand() error {
	if options := os.Getenv(mountVariable); options != "" {
		if err := mountHere(options); err != nil {
			return err
		}
		os.Unsetenv(mountVariable) // not for the processes that this one starts
	}
	switch errno := os.Getenv(denyVariable); errno {
	case "":
		return nil
	case "EPERM":
		return sandboxtest.Deny(syscall.EPERM)
	case "ENOSYS":
		return sandboxtest.Deny(syscall.ENOSYS)
	case "KILL":
		return killtest.KillOnRing()
	default:
		return fmt.Errorf("%s=%s", denyVariable, errno)
	}
}

// mountHere puts an empty tmpfs over the current folder, which only this process and those it starts can see.
func mountHere(options string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	flags := uintptr(0)
	if options == "ro" {
		flags, options = unix.MS_RDONLY, ""
	}
	dir, err := os.Getwd()
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", flags, options)
	}
	if err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	return os.Chdir(dir)
}

// mounted is the command in a folder that is a tmpfs of its own.
func mounted(t *testing.T, options string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := newCommand(t, "", []string{mountVariable + "=" + options}, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

func TestReadOnlyFolder(t *testing.T) {
	_, stderr, code := finish(t, mounted(t, "ro", "bench"))
	if code != exitFailed || !strings.Contains(stderr, "is on a read-only file system") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// A folder that this user may not write to. Root may write everywhere, and so becomes somebody else for this.
func TestForbiddenFolder(t *testing.T) {
	cmd := newCommand(t, "", nil, "bench")
	if os.Getuid() != 0 {
		if err := os.Chmod(cmd.Dir, 0o500); err != nil {
			t.Fatal(err)
		}
	} else {
		dir, err := os.MkdirTemp("", "ringport-test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		program, err := os.ReadFile(cmd.Path)
		if err == nil {
			err = os.Chmod(dir, 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "ringport"), program, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Dir = filepath.Join(dir, "ringport"), dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	_, stderr, code := finish(t, cmd)
	if code != exitFailed || !strings.Contains(stderr, "no permission to make a file in folder") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestDiskFull(t *testing.T) {
	for _, file := range []string{".", "data"} {
		stdout, stderr, code := finish(t, mounted(t, "size=1m", "bench", "--size", "8m", "--file", file))
		if code != exitFailed || !strings.Contains(stderr, "the disk is full") || stdout != "" {
			t.Errorf("exit code %d, %q, %s", code, stdout, stderr)
		}
	}
}

// A file system in memory has no disk to measure: not direct, and it says so.
func TestMemoryFolder(t *testing.T) {
	args := []string{"bench", "--operations", "100", "--rounds", "1", "--size", "1m", "--engine", "osfile,loop", "--verify"}
	stdout, stderr, code := finish(t, mounted(t, "size=16m", args...))
	if code != 0 || !strings.Contains(stdout, "cached") || !strings.Contains(stdout, "in memory (tmpfs)") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	_, stderr, code = finish(t, mounted(t, "size=16m", append(args, "--direct=true")...))
	if code != exitFailed || !strings.Contains(stderr, "no direct I/O") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// However bench ends, its file and its engines end with it.
func TestKilled(t *testing.T) {
	// The engines become this process's children when bench is gone, so that it can wait for them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	dir := t.TempDir()
	cmd := newCommand(t, dir, nil, "bench", "--size", "1m", "--engine", "osfile,loop", "--rounds", "2", "--duration", "1h")
	startAndWait(t, cmd, "measuring")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	engines := 0
	for {
		pid, err := unix.Wait4(-cmd.Process.Pid, nil, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		engines++
	}
	if engines != 2 {
		t.Errorf("%d engines were left and ended by themselves, not 2", engines)
	}
	wantEmpty(t, dir)
}

// Without io_uring bench runs on the pool, and says why.
func TestBenchDenied(t *testing.T) {
	stdout, stderr, code := runCommand(t, "", []string{denyVariable + "=EPERM"}, "bench", "--operations", "100", "--rounds", "1", "--size", "1m", "--verify")
	if code != 0 || !strings.Contains(stdout, "ringport, loop: backend pool (io_uring is not available: not permitted") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	_, stderr, code = runCommand(t, "", []string{denyVariable + "=EPERM", "RINGPORT_BACKEND=io_uring"}, "bench", "--operations", "100", "--size", "1m")
	if code != exitFailed || !strings.Contains(stderr, "engine ringport: ") || !strings.Contains(stderr, "io_uring is not available") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestThreadCount(t *testing.T) {
	before, err := threadCount()
	if err != nil {
		t.Fatal(err)
	}
	const more = 40
	locked, quit := make(chan struct{}), make(chan struct{})
	defer close(quit)
	for range more {
		go func() {
			runtime.LockOSThread() // its thread ends with it
			locked <- struct{}{}
			<-quit
		}()
	}
	for range more {
		<-locked
	}
	now, err := threadCount()
	if err != nil || now < more || now < before {
		t.Errorf("%d threads with %d locked goroutines (%v), %d before", now, more, err, before)
	}
}

// Direct I/O is found where it is: the file the engines get has the flag.
func TestDirectFlag(t *testing.T) {
	dir := t.TempDir()
	probe, err := os.OpenFile(filepath.Join(dir, "probe"), os.O_RDWR|os.O_CREATE|unix.O_DIRECT, 0o600)
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil || s.Type == unix.TMPFS_MAGIC || err != nil {
		t.Skipf("the folder for tests has no direct I/O (%v)", err)
	}
	probe.Close()
	for way, want := range map[string]bool{directAuto: true, directTrue: true, directFalse: false} {
		b, err := openBenchFile(&benchOptions{file: dir, size: 1 << 20, block: 4096, direct: way})
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(b.f.Fd(), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_DIRECT != 0 != want || b.direct != want {
			t.Errorf("--direct=%s: flags %#x (%v), direct %v", way, flags, err, b.direct)
		}
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}
}
