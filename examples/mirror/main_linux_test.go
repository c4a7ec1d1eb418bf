package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestInterrupt: the program ends in peace when it is interrupted.
func TestInterrupt(t *testing.T) {
	exe, err := os.Executable()
	must(t, err)
	from, to := t.TempDir(), t.TempDir()
	must(t, os.Symlink("nowhere", filepath.Join(from, "link")))
	cmd := exec.CommandContext(t.Context(), exe, from, to)
	cmd.Env = append(os.Environ(), programVariable+"=1")
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	become(t, from, to)
	must(t, os.WriteFile(filepath.Join(from, "file"), []byte("content"), 0o666))
	become(t, from, to)
	must(t, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
