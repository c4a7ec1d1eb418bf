package copytree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

// TestAFullDiskSaysSo copies onto a disk of 1 MiB, which takes a mount and so root.
func TestAFullDiskSaysSo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small disk takes root")
	}
	source := filepath.Join(t.TempDir(), "big")
	write(t, source, noise(4<<20), 0o600)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		disk := t.TempDir()
		if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
			t.Skipf("cannot mount a small disk here: %v", err)
		}
		t.Cleanup(func() { unix.Unmount(disk, 0) })
		var problem error
		err := Copy(t.Context(), m, []string{source}, filepath.Join(disk, "copy"), Options{OnError: func(err error) { problem = err }},
			new(Progress))
		if err == nil || problem == nil || !strings.Contains(problem.Error(), "the disk is full") {
			t.Errorf("%v, %v", err, problem)
		}
		entries, err := os.ReadDir(disk)
		if err != nil || len(entries) != 0 {
			t.Errorf("left on the disk: %v, %v", entries, err)
		}
	})
}
