package copytree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ringport/ringport"
)

// what happens in the middle of a copy, when its n-th block has been written.
func when(n int64, f func(name string, off int64)) func(string, int64) {
	var blocks atomic.Int64
	return func(name string, off int64) {
		if blocks.Add(1) == n {
			f(name, off)
		}
	}
}

// A copy that is stopped in the middle leaves neither a half file nor a temporary one, and the file that was there as it was.
func TestAStoppedCopyLeavesNoHalfFile(t *testing.T) {
	const blocks = 64
	source := write(t, filepath.Join(t.TempDir(), "big"), noise(blocks*blockBytes), 0o600)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		for _, at := range []int64{1, 2, blocks / 2, blocks} {
			for _, old := range []string{"", "old"} {
				target := filepath.Join(t.TempDir(), "copy")
				if old != "" {
					write(t, target, []byte(old), 0o600)
				}
				reason := errors.New("enough")
				ctx, cancel := context.WithCancelCause(t.Context())
				c := run(ctx, m, Options{Verify: true, onBlock: when(at, func(string, int64) { cancel(reason) })}, target, source)
				if c.err != reason || len(c.failures) != 0 || c.Files.Load() != 0 || c.Bytes.Load() != 0 {
					t.Errorf("%v, %v, %d files, %d bytes", c.err, c.failures, c.Files.Load(), c.Bytes.Load())
				}
				if old == "" {
					wantNothing(t, target)
				} else {
					wantContent(t, target, []byte(old))
				}
				nothingUnfinished(t, filepath.Dir(target))
			}
		}
	})
}

func TestAStoppedTree(t *testing.T) {
	source := filepath.Join(t.TempDir(), "tree")
	for i := range 500 {
		write(t, filepath.Join(source, fmt.Sprint(i%7), fmt.Sprint(i)), noise(1000+i), 0o600)
	}
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		target := filepath.Join(t.TempDir(), "copy")
		ctx, cancel := context.WithCancel(t.Context())
		c := run(ctx, m, Options{Sync: true, onBlock: when(100, func(string, int64) { cancel() })}, target, source)
		if c.err != context.Canceled || len(c.failures) != 0 {
			t.Fatalf("%v, %v", c.err, c.failures)
		}
		files := int64(0)
		err := filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files++
				name, _ := filepath.Rel(target, path)
				want, _ := os.ReadFile(filepath.Join(source, name))
				wantContent(t, path, want) // also that none has a temporary name
			}
			return err
		})
		if err != nil || files != c.Files.Load() || files == 0 || files == 500 {
			t.Errorf("%v; %d files are there, and %d were counted", err, files, c.Files.Load())
		}
	})
}

func TestAContextThatIsOver(t *testing.T) {
	source := makeTree(t)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		target := filepath.Join(t.TempDir(), "copy")
		if c := run(ctx, m, Options{}, target, source); c.err != context.Canceled || len(c.failures) != 0 {
			t.Errorf("%v, %v", c.err, c.failures)
		}
		wantNothing(t, target)
		if files, bytes := Measure(ctx, []string{source}); files != 0 || bytes != 0 {
			t.Errorf("measured %d files, %d bytes", files, bytes)
		}
	})
}

func TestOneBadFileDoesNotStopTheOthers(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		source, target := filepath.Join(t.TempDir(), "s"), t.TempDir()
		for i := range 100 {
			write(t, filepath.Join(source, fmt.Sprint(i)), noise(i), 0o600)
			if i%10 == 0 { // a folder where the file is to go
				write(t, filepath.Join(target, "s", fmt.Sprint(i), "x"), nil, 0o600)
			}
		}
		c := run(t.Context(), m, Options{}, target, source)
		if c.err == nil || len(c.failures) != 10 || c.Files.Load() != 90 || !strings.Contains(c.err.Error(), "10 errors") {
			t.Errorf("%v, %d files, %v", c.err, c.Files.Load(), c.failures)
		}
		for i := range 100 {
			if i%10 != 0 {
				wantContent(t, filepath.Join(target, "s", fmt.Sprint(i)), noise(i))
			}
		}
		for _, err := range c.failures {
			if path := new(fs.PathError); !errors.Is(err, errIsFolder) || !errors.As(err, &path) || !strings.HasPrefix(path.Path, target) {
				t.Error(err)
			}
		}
		nothingUnfinished(t, target)
	})
}

func TestAClosedManager(t *testing.T) {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source := write(t, filepath.Join(dir, "a"), []byte("a"), 0o600)
	run(t.Context(), m, Options{}, filepath.Join(dir, "b"), source).onlyFailure(t, ringport.ErrManagerClosed, source)
	wantNothing(t, filepath.Join(dir, "b"))
}

// A copy that is changed on its way to the disk is found out, wherever that is, and does not get its name.
func TestVerifyFindsADifference(t *testing.T) {
	for _, size := range []int{1, blockBytes, 5*blockBytes + 5} {
		source := write(t, filepath.Join(t.TempDir(), "f"), noise(size), 0o600)
		forBackends(t, func(t *testing.T, m *ringport.Manager) {
			dir := t.TempDir()
			// The last block is written when all others are, or being: no later write repairs what is spoilt here.
			spoil := func(string, int64) {
				unfinished, err := filepath.Glob(filepath.Join(dir, ".ringport-*"))
				if err != nil || len(unfinished) != 1 {
					t.Fatal(unfinished, err)
				}
				f, err := os.OpenFile(unfinished[0], os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				last := make([]byte, 1)
				if _, err := f.ReadAt(last, int64(size-1)); err != nil {
					t.Fatal(err)
				}
				last[0] ^= 0x10
				if _, err := f.WriteAt(last, int64(size-1)); err != nil {
					t.Fatal(err)
				}
			}
			blocks := int64((size + blockBytes - 1) / blockBytes)
			for _, verify := range []bool{true, false} {
				target := filepath.Join(dir, fmt.Sprint(verify))
				c := run(t.Context(), m, Options{Verify: verify, onBlock: when(blocks, spoil)}, target, source)
				if !verify { // it would not notice: else the test shows nothing
					if c.err != nil {
						t.Error(c.err)
					}
					continue
				}
				c.onlyFailure(t, errDiffers, target)
				wantNothing(t, target)
				nothingUnfinished(t, dir)
			}
		})
	}
}

// So is an original that changes in the meantime, also if only its length does.
func TestVerifyFindsAChangedOriginal(t *testing.T) {
	const size = 2*blockBytes + 3
	for name, change := range map[string]func(f *os.File) error{
		"byte":   func(f *os.File) error { _, err := f.WriteAt([]byte("changed"), 10); return err },
		"longer": func(f *os.File) error { _, err := f.WriteAt([]byte("changed"), size); return err },
	} {
		t.Run(name, func(t *testing.T) {
			forBackends(t, func(t *testing.T, m *ringport.Manager) {
				dir := t.TempDir()
				source, target := write(t, filepath.Join(dir, "f"), noise(size), 0o600), filepath.Join(dir, "copy")
				from, err := os.OpenFile(source, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer from.Close()
				f, st, err := openOriginal(t.Context(), m, source)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				mustCopy(t, m, Options{}, target, source)
				to, err := m.OpenFile(t.Context(), target, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer to.Close()
				c := newCopier(m, Options{}, new(Progress))
				if err := c.verify(t.Context(), f, to, target, st.size); err != nil {
					t.Error(err)
				}
				if err := change(from); err != nil {
					t.Fatal(err)
				}
				if err := c.verify(t.Context(), f, to, target, st.size); !errors.Is(err, errDiffers) {
					t.Errorf("verify says %v", err)
				}
			})
		})
	}
}

func TestAFileThatShrinksFails(t *testing.T) {
	for _, test := range []struct {
		size  int // found
		left  int64
		block int64 // of how many written ones it shrinks
	}{
		{64 * blockBytes, 10, 1}, {64 * blockBytes, 64*blockBytes - 1, 1}, {2*blockBytes + 1, 2 * blockBytes, 3}, {blockBytes, 0, 1},
	} {
		forBackends(t, func(t *testing.T, m *ringport.Manager) {
			dir := t.TempDir()
			source, target := write(t, filepath.Join(dir, "f"), noise(test.size), 0o600), filepath.Join(dir, "copy")
			other := write(t, filepath.Join(dir, "other"), noise(5), 0o600)
			if err := os.Mkdir(target, 0o700); err != nil {
				t.Fatal(err)
			}
			shrink := when(test.block, func(string, int64) {
				if err := os.Truncate(source, test.left); err != nil {
					t.Error(err)
				}
			})
			onBlock := func(name string, off int64) {
				if filepath.Base(name) == "f" {
					shrink(name, off)
				}
			}
			c := run(t.Context(), m, Options{onBlock: onBlock}, target, source, other)
			if test.size > blockBytes {
				c.onlyFailure(t, errShrank, source)
				wantNothing(t, filepath.Join(target, "f"))
			} else if c.err != nil { // it was read before
				t.Error(c.err)
			}
			wantContent(t, filepath.Join(target, "other"), noise(5))
			nothingUnfinished(t, target)
		})
	}
}

// A file that grows, such as a log, is copied to the end that it has when that is reached.
func TestAFileThatGrows(t *testing.T) {
	for _, size := range []int{0, 100, blockBytes, 10 * blockBytes} {
		forBackends(t, func(t *testing.T, m *ringport.Manager) {
			dir := t.TempDir()
			source, target := write(t, filepath.Join(dir, "f"), noise(size), 0o600), filepath.Join(dir, "copy")
			from, st, err := openOriginal(t.Context(), m, source)
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			want := append(noise(size), noise(3*blockBytes+1)...)
			write(t, source, want, 0o600)
			c := newCopier(m, Options{Verify: true}, new(Progress))
			if err := c.whole(t.Context(), from, st, target); err != nil {
				t.Fatal(err)
			}
			wantContent(t, target, want)
			if n := c.progress.Moved.Load(); n != int64(len(want)) {
				t.Errorf("%d bytes were counted", n)
			}
		})
	}
}
