//go:build unix

package main

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startAndWait starts a command in a process group of its own and waits for a line on its standard error.
func startAndWait(t *testing.T, cmd *exec.Cmd, line string) (stdout *strings.Builder, rest func() string) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout = &strings.Builder{}
	cmd.Stdout = stdout
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	lines := bufio.NewScanner(pipe)
	seen := ""
	for lines.Scan() {
		seen += lines.Text() + "\n"
		if strings.Contains(lines.Text(), line) {
			return stdout, func() string {
				text, _ := io.ReadAll(pipe)
				return string(text)
			}
		}
	}
	cmd.Wait()
	t.Fatalf("it never said %q:\n%s%s", line, seen, stdout)
	return nil, nil
}

// Ctrl-C reaches bench and its engines at once. It ends with what was measured so far, and leaves neither a file nor a process.
func TestInterrupt(t *testing.T) {
	for _, test := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		dir := t.TempDir()
		cmd := newCommand(t, dir, nil, "bench", "--size", "1m", "--depth", "4", "--engine", "osfile,loop", "--rounds", "1000", "--duration", "200s")
		stdout, rest := startAndWait(t, cmd, "round 1/1000  loop")
		// To all processes, as a terminal does; SIGTERM is sent to bench alone.
		to := -cmd.Process.Pid
		if test.signal == syscall.SIGTERM {
			to = cmd.Process.Pid
		}
		if err := syscall.Kill(to, test.signal); err != nil {
			t.Fatal(err)
		}
		stderr := rest()
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != test.code {
			t.Errorf("%v: exit code %d, not %d\n%s", test.signal, code, test.code, stderr)
		}
		for _, want := range []string{"osfile ", "loop ", "Stopped early"} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%v: no %q in\n%s", test.signal, want, stdout)
			}
		}
		if err := syscall.Kill(-cmd.Process.Pid, 0); err != syscall.ESRCH {
			t.Errorf("%v: a process is left (%v)", test.signal, err)
		}
		wantEmpty(t, dir)
	}
}

// Ctrl-C while the file is laid out ends with nothing measured, and removes also a file that the user named.
func TestInterruptLayout(t *testing.T) {
	for _, name := range []string{"", "data"} {
		dir := t.TempDir()
		cmd := newCommand(t, dir, nil, "bench", "--size", "1t", "--file", filepath.Join(dir, name))
		stdout, rest := startAndWait(t, cmd, "laying out")
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		stderr := rest()
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr, "interrupted") || stdout.Len() != 0 {
			t.Errorf("exit code %d, output %q, error %q", code, stdout, stderr)
		}
		wantEmpty(t, dir)
	}
}
