package copytree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringport/ringport"
)

// forBackends runs f with a manager on every backend that this system has.
func forBackends(t *testing.T, f func(t *testing.T, m *ringport.Manager)) {
	t.Helper()
	ran := 0
	for _, name := range []string{ringport.BackendIOUring, ringport.BackendPool, ringport.BackendIOCP} {
		m, err := ringport.New(ringport.Config{Backend: name})
		if unavailable := new(ringport.UnavailableError); errors.As(err, &unavailable) {
			t.Logf("not on %s: %v", name, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { f(t, m) })
		if n := m.Stats().InFlight; n != 0 {
			t.Errorf("%s: %d operations are in flight after all copies", name, n)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		ran++
	}
	if ran == 0 {
		t.Fatal("no backend")
	}
}

// copied is what became of a copy.
type copied struct {
	err      error
	failures []error
	Progress
}

// run copies, and keeps what it is told.
func run(ctx context.Context, m *ringport.Manager, o Options, target string, sources ...string) *copied {
	c := &copied{}
	o.OnError = func(err error) { c.failures = append(c.failures, err) }
	c.err = Copy(ctx, m, sources, target, o, &c.Progress)
	return c
}

// mustCopy is run for what must succeed.
func mustCopy(t *testing.T, m *ringport.Manager, o Options, target string, sources ...string) *copied {
	t.Helper()
	c := run(t.Context(), m, o, target, sources...)
	if c.err != nil || len(c.failures) != 0 || c.Failed.Load() != 0 {
		t.Fatalf("%v, %v", c.err, c.failures)
	}
	return c
}

// onlyFailure checks that just one thing failed, and for what reason.
func (c *copied) onlyFailure(t *testing.T, want error, text string) {
	t.Helper()
	if c.err == nil || len(c.failures) != 1 || c.Failed.Load() != 1 {
		t.Fatalf("%v, %d failures: %v", c.err, c.Failed.Load(), c.failures)
	}
	if want != nil && !errors.Is(c.failures[0], want) || !strings.Contains(c.failures[0].Error(), text) {
		t.Errorf("failed with %v; want %v, with %q", c.failures[0], want, text)
	}
}

func write(t *testing.T, path string, content []byte, mode fs.FileMode) string {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600), os.Chmod(path, mode))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// noise is n bytes that look random, the same for the same n.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

func wantContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != string(want) {
		t.Errorf("%s has %d bytes (%v), not the %d that it should", path, len(got), err, len(want))
	}
}

func wantNothing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v)", path, err)
	}
}

// nothingUnfinished fails if a temporary file is left somewhere below root.
func nothingUnfinished(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), ".ringport-") {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// makeTree makes a tree with all kinds of entries that are copied, all of them last changed and read in the past.
func makeTree(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	for name, size := range map[string]int{
		"empty": 0, "one": 1, "under": blockBytes - 1, "block": blockBytes, "over": blockBytes + 1, "two": 2 * blockBytes,
		"many": 3*depth*blockBytes + 17, "deep/a/b/c/d/file": 100, "mode": 10, "readonly": 10, oddName: 1, strings.Repeat("n", 255): 5,
	} {
		write(t, filepath.Join(root, name), noise(size), 0o640)
	}
	deepest := filepath.Join(root, strings.Repeat("down/", levels))
	err := errors.Join(makeLinks(t, root), decorate(root), os.Chmod(filepath.Join(root, "readonly"), 0o400), os.Link(filepath.Join(root, "many"), filepath.Join(root, "deep", "other-name")),
		os.Link(filepath.Join(root, "many"), filepath.Join(root, "third-name")), os.MkdirAll(filepath.Join(root, "empty-folder"), 0o700),
		os.MkdirAll(deepest, 0o755), os.WriteFile(filepath.Join(deepest, "file"), noise(7), 0o600))
	past := time.Date(2001, 2, 3, 4, 5, 6, 789012345, time.UTC)
	err = errors.Join(err, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := statusOf(path)
		if err != nil {
			return err
		}
		st.accessed, st.modified = past.Add(time.Hour), past
		return st.give(path)
	}), protect(filepath.Join(root, "deep", "a")))
	if err != nil {
		t.Fatal(err)
	}
	writable(t, filepath.Join(root, "deep", "a"))
	return root
}

// makeLinks makes symbolic links of all sorts, where there are such.
func makeLinks(t *testing.T, root string) error {
	if !haveLinks(t) {
		return nil
	}
	return errors.Join(os.Symlink("over", filepath.Join(root, "symlink")), os.Symlink("nowhere", filepath.Join(root, "dangling")),
		os.Symlink(root, filepath.Join(root, "loop")), os.Symlink("later", filepath.Join(root, "a-folder")),
		os.Mkdir(filepath.Join(root, "later"), 0o700))
}

// haveLinks reports whether this process can make symbolic links: not under Wine, and on Windows not without the right to.
func haveLinks(t *testing.T) bool {
	t.Helper()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Log(err)
		return false
	}
	_, err := os.Lstat(link) // Wine says that it has made one
	return err == nil
}

// needLinks skips a test that has nothing to show where there are no links.
func needLinks(t *testing.T) {
	t.Helper()
	if !haveLinks(t) {
		t.Skip("no symbolic links can be made here")
	}
}

// writable makes sure that the test's end can remove a folder.
func writable(t *testing.T, folder string) { t.Cleanup(func() { os.Chmod(folder, 0o700) }) }

// describe is what a tree is: a line for each entry. Which inodes are one and the same is said by their first name.
func describe(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	names := map[fileID]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := statusOf(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if first, ok := names[st.id]; ok && st.id.known() {
			fmt.Fprintf(&b, "%q is %q\n", name, first)
			return nil
		}
		names[st.id] = name
		fmt.Fprintf(&b, "%q %v %v %s", name, st.mode, st.modified.UTC(), special(st))
		switch {
		case st.mode&fs.ModeSymlink != 0:
			behind, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " → %s", behind)
		case st.mode.IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %x", len(content), sha256.Sum256(content))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// difference shows the lines that are in one text only.
func difference(want, got string) string {
	b := strings.Builder{}
	for _, side := range []struct{ sign, text, other string }{{"-", want, got}, {"+", got, want}} {
		other := "\n" + side.other
		for line := range strings.Lines(side.text) {
			if !strings.Contains(other, "\n"+line) {
				b.WriteString("\n" + side.sign + " " + strings.TrimSuffix(line, "\n"))
			}
		}
	}
	return b.String()
}

// lastAccess is when the files and links of a tree were read last. Whatever reads them changes that, so it comes first.
func lastAccess(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := statusOf(path)
		fmt.Fprintf(&b, "%q %v\n", strings.TrimPrefix(path, root), st.accessed.UTC())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestATreeIsCopiedWithAllThatItIs(t *testing.T) {
	source := makeTree(t)
	want := describe(t, source)
	files, bytes := Measure(t.Context(), []string{source})
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		for _, o := range []Options{{}, {Verify: true}, {Sync: true}, {Verify: true, Sync: true}} {
			target := filepath.Join(t.TempDir(), "copy")
			writable(t, filepath.Join(target, "deep", "a"))
			access := lastAccess(t, source)
			c := mustCopy(t, m, o, target, source)
			if got := lastAccess(t, target); got != access {
				t.Error("last access:", difference(access, got))
			}
			if got := describe(t, target); got != want {
				t.Error(difference(want, got))
			}
			if c.Files.Load() != files || c.Bytes.Load() != bytes || c.Moved.Load() != bytes {
				t.Errorf("copied %d files with %d bytes, moved %d; Measure says %d and %d", c.Files.Load(), c.Bytes.Load(), c.Moved.Load(), files, bytes)
			}
			if verified := c.Verified.Load(); o.Verify && verified != bytes || !o.Verify && verified != 0 {
				t.Errorf("verified %d of %d bytes", verified, bytes)
			}
			nothingUnfinished(t, target)
		}
	})
}

// What was there is replaced; what is not in the source stays.
func TestACopyOverACopy(t *testing.T) {
	source := makeTree(t)
	want := describe(t, source)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		target := filepath.Join(t.TempDir(), "copy")
		writable(t, filepath.Join(target, "deep", "a"))
		mustCopy(t, m, Options{}, target, source)
		if err := os.Chmod(filepath.Join(target, "deep", "a"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(target, "over"), []byte("old"), 0o600)
		write(t, filepath.Join(target, "one"), noise(300), 0o600)
		if err := os.Remove(filepath.Join(target, "symlink")); err != nil && haveLinks(t) {
			t.Fatal(err)
		}
		if haveLinks(t) {
			write(t, filepath.Join(target, "symlink"), []byte("a file where a link was"), 0o600)
		}
		mustCopy(t, m, Options{}, target, source+"/.") // what is in it, as cp does
		nothingUnfinished(t, target)
		if got := describe(t, target); got != want {
			t.Error(difference(want, got))
		}
	})
}
