package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// endlessCopy is cp of a file that takes for ever to verify: nothing but a hole, of which no copy has to be made. The command
// is not started.
func endlessCopy(t *testing.T) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = t.TempDir()
	put(t, filepath.Join(dir, "hole"), "")
	if err := os.Truncate(filepath.Join(dir, "hole"), 8<<40); err != nil {
		t.Skipf("this file system has no files of 8 TiB: %v", err)
	}
	put(t, filepath.Join(dir, "target", "hole"), "old")
	cmd = newCommand(t, dir, nil, "cp", "--verify", "hole", "target")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		if cmd.Process != nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	return cmd, dir
}

// Ctrl-C in the middle of a copy: no half file, no temporary one, and the old file is as it was.
func TestCpInterrupt(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		cmd, dir := endlessCopy(t)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		unfinished(t, filepath.Join(dir, "target"))
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(stderr.String(), "copied 0 files, 0 B in ") {
			t.Errorf("%v: exit code %d, %q", signal, got, stderr.String())
		}
		wantNames(t, filepath.Join(dir, "target"), "hole")
		wantFile(t, filepath.Join(dir, "target", "hole"), "old")
	}
}

// On a terminal there is one line, with rate and time left, and it is gone in the end.
func TestCpBar(t *testing.T) {
	cmd, dir := endlessCopy(t)
	screen, tty := openTerminal(t)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stderr = tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	shown, buf := "", make([]byte, 4096)
	for !strings.Contains(shown, "B/s") || !strings.Contains(shown, " left") || !strings.Contains(shown, "█") {
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, shown)
		}
		shown += string(buf[:n])
	}
	if !strings.Contains(shown, "of 1 file ") || strings.Contains(shown, "\n") {
		t.Errorf("the bar is %q", shown)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(screen) // ends with EIO when the command has closed the terminal
	cmd.Wait()
	lines := strings.Split(strings.TrimSuffix(string(rest), "\r\n"), "\r\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "\rcopied 0 files, 0 B in ") || lines[1] != "ringport: interrupted" {
		t.Errorf("at the end: %q", lines)
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	wantNames(t, filepath.Join(dir, "target"), "hole")
}
