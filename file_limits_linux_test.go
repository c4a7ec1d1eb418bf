package ringport

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of 64 KiB, and returns the name of a file on it. Who may not mount gets none.
func smallDisk(t *testing.T) (name string, room int) {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Logf("only /dev/full: a small file system can't be mounted here: %v", err)
		return "", 0
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error("unmount:", err)
		}
	})
	return filepath.Join(dir, "file"), 64 << 10
}

// TestFile_DiskFull writes to a file system that has room for some of it, where one can be had, and to a device that is
// always full.
func TestFile_DiskFull(t *testing.T) {
	type place struct {
		name string
		room int
	}
	places := []place{{"/dev/full", 0}}
	if name, room := smallDisk(t); name != "" {
		places = append(places, place{name, room})
	}
	for _, where := range places {
		forEach(t, func(t *testing.T, c Config) {
			m := open(t, c)
			for view, f := range views(t, openFile(t, m, where.name, os.O_RDWR|os.O_CREATE)) {
				if where.room > 0 {
					f.Truncate(0)
				}
				content := noise(2*where.room+1, 24)
				for name, write := range map[string]func() (int, error){
					"Write":  func() (int, error) { return f.Write(content) },
					"Writev": func() (int, error) { return f.Writev([][]byte{content[:1], content[1:]}) },
				} {
					f.Seek(0, 0)
					n, err := write()
					var op *OpError
					if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &op) || op.Name != where.name || n > where.room {
						t.Errorf("%s, %s to %s: %d, %v", name, view, where.name, n, err)
					}
					if where.room > 0 {
						got, _ := os.ReadFile(where.name)
						if n == 0 || !bytes.Equal(got[:n], content[:n]) {
							t.Errorf("%s, %s: what it says it wrote, %d bytes, is not there", name, view, n)
						}
					}
				}
				if where.room > 0 {
					if err := f.Allocate(0, int64(2*where.room)); !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("Allocate: %v", err)
					}
				}
			}
		})
	}
}
