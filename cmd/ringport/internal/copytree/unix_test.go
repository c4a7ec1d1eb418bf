//go:build unix

package copytree

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

const (
	oddName = " \n*é"
	tooLong = "file name too long"
	levels  = 150 // of folders in a tree
)

// decorate gives a tree what only this system has.
func decorate(root string) error {
	return os.Chmod(filepath.Join(root, "mode"), 0o751|fs.ModeSetuid|fs.ModeSticky)
}

// protect makes a folder that cannot be written to.
func protect(folder string) error { return os.Chmod(folder, 0o500|fs.ModeSetgid) }

// special is what this system says of a file and others don't.
func special(status) string { return "" }

// nobody is who tests are that root could not fail.
const nobody = 65534

// asNobody runs f as a user who may not do everything, in a folder of that user's.
func asNobody(t *testing.T, f func(dir string)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ringport-test-") // those of t.TempDir lie in a folder that root keeps for itself
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if d.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		os.RemoveAll(dir)
	}()
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(syscall.Setegid(nobody), syscall.Seteuid(nobody)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(syscall.Seteuid(0), syscall.Setegid(0)); err != nil {
				panic(err)
			}
		}()
	}
	f(dir)
}

func TestWhatMayNotBeRead(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		asNobody(t, func(dir string) {
			source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
			write(t, filepath.Join(source, "readable"), []byte("readable"), 0o400)
			write(t, filepath.Join(source, "secret"), []byte("secret"), 0)
			write(t, filepath.Join(source, "closed", "file"), []byte("file"), 0o600)
			if err := os.Chmod(filepath.Join(source, "closed"), 0o300); err != nil {
				t.Fatal(err)
			}
			c := run(t.Context(), m, Options{}, target, source)
			if c.err == nil || len(c.failures) != 2 || c.Files.Load() != 1 {
				t.Fatalf("%v, %v", c.err, c.failures)
			}
			for _, err := range c.failures {
				if path := new(fs.PathError); !errors.Is(err, fs.ErrPermission) || !errors.As(err, &path) || filepath.Dir(path.Path) != source {
					t.Error(err)
				}
			}
			wantContent(t, filepath.Join(target, "readable"), []byte("readable"))
			wantNothing(t, filepath.Join(target, "secret"))
		})
	})
}

func TestATargetThatMayNotBeWritten(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		asNobody(t, func(dir string) {
			source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
			file := write(t, filepath.Join(source, "file"), []byte("new"), 0o600)
			old := write(t, filepath.Join(target, "file"), []byte("old"), 0o400)
			for _, mode := range []fs.FileMode{0o500, 0o700} {
				if err := os.Chmod(target, mode); err != nil {
					t.Fatal(err)
				}
				if mode == 0o700 { // the file's own mode protects its content, not its name
					mustCopy(t, m, Options{}, target, file)
					wantContent(t, old, []byte("new"))
					continue
				}
				run(t.Context(), m, Options{}, target, file).onlyFailure(t, fs.ErrPermission, old)
				wantContent(t, old, []byte("old"))
				run(t.Context(), m, Options{}, target, source).onlyFailure(t, fs.ErrPermission, filepath.Join(target, "source"))
			}
			nothingUnfinished(t, target)
		})
	})
}

// Who copies somebody else's set-user-ID program does not get one that acts as the copier.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of somebody else")
	}
	dir := t.TempDir()
	theirs := write(t, filepath.Join(dir, "theirs"), []byte("program"), 0o755)
	if err := errors.Join(os.Chown(theirs, 1234, 5678), os.Chmod(theirs, 0o755|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky),
		os.Symlink("theirs", filepath.Join(dir, "link")), os.Lchown(filepath.Join(dir, "link"), 1234, 5678), os.Chown(dir, 1234, 5678),
		os.Chmod(dir, 0o755|fs.ModeSetgid), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		copy := filepath.Join(t.TempDir(), "copy")
		mustCopy(t, m, Options{}, copy, dir)
		for _, name := range []string{"", "theirs", "link"} {
			want, err := statusOf(filepath.Join(dir, name))
			got, err2 := statusOf(filepath.Join(copy, name))
			if err != nil || err2 != nil || got.uid != 1234 || got.gid != 5678 || got.mode != want.mode {
				t.Errorf("root's copy of %q: %v, %v: %d, %d, %v", name, err, err2, got.uid, got.gid, got.mode)
			}
		}
		asNobody(t, func(own string) {
			copy := filepath.Join(own, "copy")
			mustCopy(t, m, Options{}, copy, dir)
			for name, mode := range map[string]fs.FileMode{"": 0o755 | fs.ModeDir, "theirs": 0o755 | fs.ModeSticky} {
				if got, err := statusOf(filepath.Join(copy, name)); err != nil || got.uid != nobody || got.mode != mode {
					t.Errorf("nobody's copy of %q: %v: %d, %v", name, err, got.uid, got.mode)
				}
			}
			// One's own program stays what it is.
			mine := write(t, filepath.Join(own, "mine"), nil, 0o755)
			if err := os.Chmod(mine, 0o755|fs.ModeSetuid); err != nil {
				t.Fatal(err)
			}
			mustCopy(t, m, Options{}, filepath.Join(own, "mine-2"), mine)
			if got, err := statusOf(filepath.Join(own, "mine-2")); err != nil || got.mode != 0o755|fs.ModeSetuid {
				t.Errorf("%v: %v", err, got.mode)
			}
		})
	})
}

func TestSpecialFilesAreReported(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		source, target := filepath.Join(dir, "s"), filepath.Join(dir, "t")
		write(t, filepath.Join(source, "file"), []byte("file"), 0o600)
		if err := unix.Mkfifo(filepath.Join(source, "fifo"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Chdir(source) // a socket's path is short
		l, err := net.Listen("unix", "socket")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := run(t.Context(), m, Options{}, target, source, "/dev/null")
		if c.err == nil {
			t.Fatal("two sources to one new name")
		}
		c = run(t.Context(), m, Options{}, target, source)
		if len(c.failures) != 2 || c.Failed.Load() != 2 || !errors.Is(c.failures[0], errSpecial) || !errors.Is(c.failures[1], errSpecial) {
			t.Errorf("%v", c.failures)
		}
		wantContent(t, filepath.Join(target, "file"), []byte("file"))
		run(t.Context(), m, Options{}, target, "/dev/null").onlyFailure(t, errSpecial, "/dev/null")
		// A file that became a FIFO after it was found: opening it does not wait.
		ctx := t.Context()
		if err := newCopier(m, Options{}, new(Progress)).file(ctx, job{from: "fifo", to: filepath.Join(dir, "x")}); !errors.Is(err, errSpecial) {
			t.Error(err)
		}
		// What is special stays, also as a target: a copy of a disk image to a device would be a file in its place.
		fifo := filepath.Join(source, "fifo")
		run(t.Context(), m, Options{}, fifo, "file").onlyFailure(t, errIsSpecial, fifo)
		if st, err := os.Lstat(fifo); err != nil || st.Mode()&fs.ModeNamedPipe == 0 {
			t.Errorf("the FIFO is %v, %v", st.Mode(), err)
		}
		nothingUnfinished(t, dir)
	})
}

// Copies leave no descriptor open, whatever becomes of them. Descriptors that others open meanwhile don't matter: a table
// that is one full of leaks has more of them than that.
func TestNoDescriptorIsLeft(t *testing.T) {
	source := makeTree(t)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		mustCopy(t, m, Options{}, filepath.Join(t.TempDir(), "copy"), source)
		before := descriptors(t)
		for range 5 {
			target := t.TempDir()
			writable(t, filepath.Join(target, "tree", "deep", "a"))
			for _, name := range []string{"many", "empty", "one"} { // in the way of three files
				if err := os.MkdirAll(filepath.Join(target, "tree", name), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			run(t.Context(), m, Options{Verify: true, Sync: true}, target, source)
		}
		runtime.GC() // the last of what is closed by a finalizer would be a leak too, had it run before
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A path can be too long for the system although each name in it is not. What can be copied is.
func TestATargetThatIsTooDeep(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		t.Chdir(t.TempDir())
		folder := strings.Repeat("d", 200)
		deep := "s"
		for range 18 {
			deep = filepath.Join(deep, folder)
		}
		write(t, filepath.Join(deep, "file"), []byte("deep"), 0o600)
		write(t, filepath.Join("s", "z"), []byte("z"), 0o600)
		target := filepath.Join(strings.Repeat("t", 250), strings.Repeat("t", 250), strings.Repeat("t", 250))
		if err := os.MkdirAll(target, 0o700); err != nil {
			t.Fatal(err)
		}
		run(t.Context(), m, Options{}, target, "s").onlyFailure(t, nil, "file name too long")
		wantContent(t, filepath.Join(target, "s", "z"), []byte("z"))
	})
}
