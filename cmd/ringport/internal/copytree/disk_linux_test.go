package copytree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

// mountSmall mounts a file system of so many bytes, which takes root.
func mountSmall(t *testing.T, bytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		// The kernel may still be letting go of files that are closed.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDiskSaysSo(t *testing.T) {
	const disk = 1 << 20
	for _, test := range []struct {
		name  string
		files []int // sizes
		fit   int   // how many of them can be there in the end, at least
	}{
		{"one large file", []int{4 * disk}, 0},
		{"one that nearly fits", []int{disk + 1}, 0},
		{"a large one among small ones", []int{10, 4 * disk, 20, 30}, 3},
		// The workers' files fit together: it is full only when others are there for good.
		{"many small ones", slices.Repeat([]int{disk / depth * 4 / 5}, 2*depth), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var sources []string
			dir := t.TempDir()
			for i, size := range test.files {
				sources = append(sources, write(t, filepath.Join(dir, fmt.Sprint(i)), noise(size), 0o600))
			}
			forBackends(t, func(t *testing.T, m *ringport.Manager) {
				target := mountSmall(t, disk)
				c := run(t.Context(), m, Options{}, target, sources...)
				if c.err == nil || len(c.failures) == 0 {
					t.Fatalf("%v, %v", c.err, c.failures)
				}
				for _, err := range c.failures {
					if !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "the disk is full: ") || !strings.Contains(err.Error(), target+"/") {
						t.Error(err)
					}
				}
				there := 0
				for i, size := range test.files {
					if _, err := os.Lstat(filepath.Join(target, fmt.Sprint(i))); err == nil {
						there++
						wantContent(t, filepath.Join(target, fmt.Sprint(i)), noise(size))
					}
				}
				if there != int(c.Files.Load()) || there < test.fit || there+len(c.failures) != len(test.files) {
					t.Errorf("%d files are there, %d were counted, %d failed", there, c.Files.Load(), len(c.failures))
				}
				nothingUnfinished(t, target)
			})
		})
	}
}

// A file that could not be replaced for want of space is as it was.
func TestAFullDiskKeepsTheOldFile(t *testing.T) {
	source := write(t, filepath.Join(t.TempDir(), "f"), noise(800<<10), 0o600)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := mountSmall(t, 1<<20)
		old := write(t, filepath.Join(dir, "f"), noise(700<<10), 0o600)
		run(t.Context(), m, Options{}, dir, source).onlyFailure(t, unix.ENOSPC, "the disk is full")
		wantContent(t, old, noise(700<<10))
		nothingUnfinished(t, dir)
	})
}

func TestAReadOnlyDisk(t *testing.T) {
	source := write(t, filepath.Join(t.TempDir(), "f"), noise(10), 0o600)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := mountSmall(t, 1<<20)
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		run(t.Context(), m, Options{}, dir, source).onlyFailure(t, unix.EROFS, "read-only file system")
	})
}

// What lies in itself by way of a second mount would be copied for ever.
func TestIntoItselfThroughAMount(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		source, mount := filepath.Join(dir, "source"), filepath.Join(dir, "mount")
		write(t, filepath.Join(source, "in", "file"), []byte("file"), 0o600)
		if err := os.Mkdir(mount, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(filepath.Join(source, "in"), mount, "", unix.MS_BIND, ""); err != nil {
			t.Skipf("nothing can be mounted here: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		run(t.Context(), m, Options{}, filepath.Join(mount, "new"), source).onlyFailure(t, errIntoItself, filepath.Join(source, "in", "new"))
		wantContent(t, filepath.Join(source, "in", "new", "in", "file"), []byte("file"))
	})
}

// Files in /proc say that they are empty, some in /sys that they have a page. They have what can be read.
func TestFilesThatDoNotKnowTheirSize(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		for _, source := range []string{"/proc/version", "/sys/kernel/notes", "/sys/kernel/profiling", "/sys/kernel/mm/transparent_hugepage/defrag"} {
			want, err := os.ReadFile(source)
			if errors.Is(err, os.ErrNotExist) {
				t.Logf("there is no %s", source)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(t.TempDir(), "copy")
			mustCopy(t, m, Options{Verify: true}, target, source)
			wantContent(t, target, want)
		}
	})
}

func TestHolesStayHoles(t *testing.T) {
	const hole = 64 * blockBytes
	for name, data := range map[string][]int64{ // where there is a byte
		"nothing but a hole": nil, "at its start": {0}, "at its end": {hole - 1}, "in the middle": {hole / 2}, "all over": {0, hole / 4, hole/2 - 1, hole - 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			source := write(t, filepath.Join(dir, "f"), nil, 0o600)
			f, err := os.OpenFile(source, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			want := make([]byte, hole)
			for _, off := range data {
				want[off] = 'x'
				if _, err := f.WriteAt(want[off:off+1], off); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(f.Truncate(hole), f.Sync()); err != nil {
				t.Fatal(err)
			}
			forBackends(t, func(t *testing.T, m *ringport.Manager) {
				target := filepath.Join(dir, t.Name()[strings.LastIndex(t.Name(), "/")+1:])
				c := mustCopy(t, m, Options{Verify: true, Sync: true}, target, source)
				wantContent(t, target, want)
				a, errA := statusOf(source)
				b, errB := statusOf(target)
				if a.stored >= hole/2 {
					t.Skipf("this file system keeps no holes: %d of %d bytes are stored", a.stored, hole)
				}
				if errA != nil || errB != nil || b.stored > a.stored {
					t.Errorf("%v, %v: the original takes %d bytes on the disk, the copy %d", errA, errB, a.stored, b.stored)
				}
				if n := c.Moved.Load(); n != hole {
					t.Errorf("%d bytes were counted", n)
				}
			})
		})
	}
}

// dirtyPages is how many of a file's pages have yet to be written. See cachestat(2).
func dirtyPages(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
		t.Skipf("this system does not tell what is on the disk: %v", err)
	}
	return stat.Dirty + stat.Writeback
}

func TestSyncHasItOnTheDisk(t *testing.T) {
	source := filepath.Join(t.TempDir(), "s")
	names := []string{"large", "small", "folder/in"}
	for i, size := range []int{3*blockBytes + 1, 10, 5000} {
		write(t, filepath.Join(source, names[i]), noise(size), 0o600)
	}
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		plain, synced := filepath.Join(t.TempDir(), "plain"), filepath.Join(t.TempDir(), "synced")
		mustCopy(t, m, Options{}, plain, source)
		mustCopy(t, m, Options{Sync: true}, synced, source)
		dirty := uint64(0)
		for _, name := range names {
			dirty += dirtyPages(t, filepath.Join(plain, name))
			if n := dirtyPages(t, filepath.Join(synced, name)); n != 0 {
				t.Errorf("%s: %d pages are not on the disk", name, n)
			}
		}
		if dirty == 0 {
			t.Log("without Sync everything was on the disk as well: this run shows nothing")
		}
	})
}
