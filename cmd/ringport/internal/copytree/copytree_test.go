package copytree

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport"
)

// forBackends runs f with a manager on every backend that this system has.
func forBackends(t *testing.T, f func(t *testing.T, m *ringport.Manager)) {
	t.Helper()
	ran := 0
	for _, name := range []string{ringport.BackendIOUring, ringport.BackendPool} {
		m, err := ringport.New(ringport.Config{Backend: name})
		if unavailable := new(ringport.UnavailableError); errors.As(err, &unavailable) {
			t.Logf("not on %s: %v", name, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { f(t, m) })
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		ran++
	}
	if ran == 0 {
		t.Fatal("no backend")
	}
}

func write(t *testing.T, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// makeTree makes a tree with all kinds of entries, all of them last changed in the past.
func makeTree(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	for name, size := range map[string]int{
		"empty": 0, "one": 1, "under": blockBytes - 1, "block": blockBytes, "over": blockBytes + 1, "many": 5*blockBytes + 17,
		"deep/a/b/c/d/file": 100, "mode": 10,
	} {
		write(t, filepath.Join(root, name), noise(size), 0o640)
	}
	if err := os.Chmod(filepath.Join(root, "mode"), 0o751|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(filepath.Join(root, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 8 << 20} {
		if _, err := sparse.WriteAt([]byte("data"), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(sparse.Truncate(16<<20), sparse.Close(), os.Symlink("over", filepath.Join(root, "symlink")),
		os.Symlink("nowhere", filepath.Join(root, "dangling")),
		os.Link(filepath.Join(root, "one"), filepath.Join(root, "deep", "other-name"))); err != nil {
		t.Fatal(err)
	}
	past := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, past, past)
	})
	if err == nil {
		err = os.Chmod(filepath.Join(root, "deep", "a"), 0o500) // a folder that cannot be written
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(root, "deep", "a"), 0o700) })
	return root
}

// describe is what a tree is: a line for each entry.
func describe(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		fmt.Fprintf(&b, "%s %v", name, info.Mode())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " → %s", target)
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %x %v", len(content), checksumOf(content), info.ModTime().UTC())
		default:
			fmt.Fprintf(&b, " %v", info.ModTime().UTC())
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func checksumOf(b []byte) (sum uint64) {
	for _, c := range b {
		sum = sum*1099511628211 + uint64(c)
	}
	return sum
}

// nothingUnfinished fails if a temporary file is left somewhere below root.
func nothingUnfinished(t *testing.T, root string) {
	t.Helper()
	filepath.WalkDir(root, func(path string, _ fs.DirEntry, _ error) error {
		if strings.HasPrefix(filepath.Base(path), ".ringport-") {
			t.Errorf("left behind: %s", path)
		}
		return nil
	})
}

func TestATreeIsCopiedWithAllThatItIs(t *testing.T) {
	source := makeTree(t)
	want := describe(t, source)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		for _, o := range []Options{{}, {Verify: true}, {Sync: true}} {
			target := filepath.Join(t.TempDir(), "copy")
			var p Progress
			o.OnError = func(err error) { t.Error(err) }
			if err := Copy(t.Context(), m, []string{source}, target, o, &p); err != nil {
				t.Fatal(err)
			}
			if got := describe(t, target); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if p.Bytes.Load() != p.BytesFound.Load() || p.Files.Load() != p.FilesFound.Load() || !p.Walked.Load() {
				t.Errorf("progress ends at %d of %d bytes, %d of %d files", p.Bytes.Load(), p.BytesFound.Load(), p.Files.Load(),
					p.FilesFound.Load())
			}
			a, errA := os.Stat(filepath.Join(target, "one"))
			b, errB := os.Stat(filepath.Join(target, "deep", "other-name"))
			if errA != nil || errB != nil || !os.SameFile(a, b) {
				t.Error("two names of one file became two files", errA, errB)
			}
			nothingUnfinished(t, target)
			os.Chmod(filepath.Join(target, "deep", "a"), 0o700)
		}
	})
}

func TestWhereThingsGo(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		write(t, at("a"), []byte("a"), 0o600)
		write(t, at("b"), []byte("b"), 0o600)
		write(t, at("folder/in"), []byte("in"), 0o600)
		for _, c := range []struct {
			name    string
			sources []string
			target  string
			problem string // in the error; empty: none
			result  string // a file that is there then
		}{
			{"file to new name", []string{at("a")}, at("new"), "", "new"},
			{"file over file", []string{at("b")}, at("new"), "", "new"},
			{"file into folder", []string{at("a")}, at("folder"), "", "folder/a"},
			{"several into folder", []string{at("a"), at("b")}, at("folder"), "", "folder/b"},
			{"folder to new name", []string{at("folder")}, at("folder2"), "", "folder2/in"},
			{"folder into folder", []string{at("folder")}, at("folder2"), "", "folder2/folder/in"},
			{"several to a file", []string{at("a"), at("b")}, at("new"), "not a folder", ""},
			{"onto itself", []string{at("a")}, at("a"), "the same", ""},
			{"into itself", []string{at("folder")}, at("folder/sub"), "lies in", ""},
			{"nothing there", []string{at("absent")}, at("x"), "no such file", ""},
			{"no such folder", []string{at("a")}, at("absent/x"), "not copied", ""},
			{"name too long", []string{at("a")}, at(strings.Repeat("n", 300)), "not copied", ""},
			{"no source", nil, at("x"), "nothing to copy", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				err := Copy(t.Context(), m, c.sources, c.target, Options{}, new(Progress))
				if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
					t.Errorf("error is %v, want %q", err, c.problem)
				}
				if _, err := os.Stat(at(c.result)); c.result != "" && err != nil {
					t.Error(err)
				}
			})
		}
		if content, err := os.ReadFile(at("new")); err != nil || string(content) != "b" {
			t.Errorf("%q, %v", content, err)
		}
		nothingUnfinished(t, dir)
	})
}

func TestOneBadFileDoesNotStopTheOthers(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		source, target := filepath.Join(t.TempDir(), "s"), filepath.Join(t.TempDir(), "t")
		write(t, filepath.Join(source, "good"), []byte("good"), 0o600)
		write(t, filepath.Join(source, "blocked"), []byte("new"), 0o600)
		write(t, filepath.Join(target, "s", "blocked", "file"), []byte("in the way"), 0o600) // a folder where a file is to go
		var mu sync.Mutex
		var problems []error
		var p Progress
		err := Copy(t.Context(), m, []string{source}, target, Options{OnError: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
		}}, &p)
		if err == nil || len(problems) != 1 || p.Failed.Load() != 1 || !strings.Contains(problems[0].Error(), "blocked") {
			t.Errorf("%v, %v", err, problems)
		}
		if content, err := os.ReadFile(filepath.Join(target, "s", "good")); string(content) != "good" {
			t.Error(err)
		}
		nothingUnfinished(t, target)
	})
}

func TestVerifyFindsADifference(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		content := noise(3*blockBytes + 5)
		files := make([]*ringport.File, 2)
		for i := range files {
			path := filepath.Join(t.TempDir(), "f")
			if i == 1 {
				content = bytes.Clone(content)
				content[2*blockBytes+3] ^= 1
			}
			write(t, path, content, 0o600)
			var err error
			if files[i], err = m.OpenFile(t.Context(), path, os.O_RDONLY, 0); err != nil {
				t.Fatal(err)
			}
			defer files[i].Close()
		}
		c := &copier{ctx: t.Context(), m: m}
		if err := c.verify(files[0], files[1]); !errors.Is(err, errDiffers) {
			t.Errorf("a flipped bit: %v", err)
		}
		if err := c.verify(files[0], files[0]); err != nil {
			t.Errorf("the same file: %v", err)
		}
	})
}

func TestAFileThatShrinksFails(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		write(t, path, noise(100), 0o600)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 50); err != nil { // after it was found, before it is copied
			t.Fatal(err)
		}
		c := &copier{ctx: t.Context(), m: m, progress: new(Progress)}
		if err := c.file(job{path, filepath.Join(dir, "copy"), info}); !errors.Is(err, errShrank) {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "copy")); err == nil {
			t.Error("half a file has the final name")
		}
		nothingUnfinished(t, dir)
	})
}

// TestAStoppedCopyLeavesNoHalfFile stops when the first block is copied.
func TestAStoppedCopyLeavesNoHalfFile(t *testing.T) {
	source := filepath.Join(t.TempDir(), "big")
	write(t, source, noise(64*blockBytes), 0o600)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		reason := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		var p Progress
		done := make(chan error)
		go func() { done <- Copy(ctx, m, []string{source}, filepath.Join(dir, "copy"), Options{}, &p) }()
		for p.Bytes.Load() == 0 {
			runtime.Gosched()
		}
		cancel(reason)
		err := <-done
		_, statErr := os.Stat(filepath.Join(dir, "copy"))
		if statErr == nil && err != nil || statErr != nil && !errors.Is(err, reason) {
			t.Errorf("%v; the final name: %v", err, statErr)
		}
		nothingUnfinished(t, dir)
	})
}
