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

// startAndWait starts a command that Ctrl-C can be sent to, see interrupt, and waits for a line on its standard error.
func startAndWait(t *testing.T, cmd *exec.Cmd, line string) (stdout *strings.Builder, rest func() string) {
	t.Helper()
	stdout = &strings.Builder{}
	cmd.Stdout = stdout
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	interruptible(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
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
	for _, signal := range signals {
		dir := t.TempDir()
		cmd := newCommand(t, dir, nil, "bench", "--size", "1m", "--depth", "4", "--engine", "osfile,loop", "--rounds", "1000", "--duration", "200s")
		stdout, rest := startAndWait(t, cmd, "round 1/1000  loop")
		interrupt(t, cmd, signal)
		stderr := rest()
		cmd.Wait()
		if code, want := cmd.ProcessState.ExitCode(), 128+int(signal); code != want {
			t.Errorf("%v: exit code %d, not %d\n%s", signal, code, want, stderr)
		}
		if strings.Contains(stderr, "engine ") {
			t.Errorf("%v: an engine did not wait to be told: %s", signal, stderr)
		}
		for _, want := range []string{"osfile ", "loop ", "Stopped early"} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%v: no %q in\n%s", signal, want, stdout)
			}
		}
		wantEnded(t, cmd)
		wantEmpty(t, dir)
	}
}

// Ctrl-C while the file is laid out ends with nothing measured, and removes also a file that the user named.
func TestInterruptLayout(t *testing.T) {
	for _, name := range []string{"", "data"} {
		dir := t.TempDir()
		cmd := newCommand(t, dir, nil, "bench", "--size", "1t", "--file", filepath.Join(dir, name))
		stdout, rest := startAndWait(t, cmd, "laying out")
		interrupt(t, cmd, syscall.SIGINT)
		stderr := rest()
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr, "interrupted") || stdout.Len() != 0 {
			t.Errorf("exit code %d, output %q, error %q", code, stdout, stderr)
		}
		wantEmpty(t, dir)
	}
}
