package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Ctrl-C in the middle of a copy: no half file, no temporary one, and the old file is as it was.
func TestCpInterrupt(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "large"), "")
	if err := os.Truncate(filepath.Join(dir, "large"), 1<<30); err != nil { // of which only the beginning will be copied
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "target", "large"), "old")
	cmd := newCommand(t, dir, nil, "cp", "--verify", "large", "target")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	interruptible(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	unfinished(t, filepath.Join(dir, "target"))
	interrupt(t, cmd, syscall.SIGINT)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr.String(), "copied 0 files, 0 B in ") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
	wantNames(t, filepath.Join(dir, "target"), "large")
	wantFile(t, filepath.Join(dir, "target", "large"), "old")
}
