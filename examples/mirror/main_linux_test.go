// These tests are Linux's alone. On Windows the mirror can't remove what the test has open at that moment to compare it, nor can the test move what
// the mirror has open to copy it; and Wine does not report all that happens in new directories.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ringport/ringport/internal/patience"
)

// programVariable makes the test be the program.
const programVariable = "MIRROR_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// content is what is in a directory: names with the files' contents.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			all[name] = "directory"
		case d.Type() == fs.ModeSymlink:
			all[name], err = os.Readlink(path)
		default:
			var b []byte
			b, err = os.ReadFile(path)
			all[name] = "file: " + string(b)
		}
		return err
	})
	if err != nil && !isGone(err) {
		t.Error(err)
	}
	return all
}

// become waits until to is like from.
func become(t *testing.T, from, to string) {
	t.Helper()
	want := content(t, from)
	must(t, patience.Until(func() error {
		if got := content(t, to); !maps.Equal(got, want) {
			return fmt.Errorf("got %v; want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		return nil
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// steps change a directory.
func steps(dir string) []func() error {
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	write := func(text string, parts ...string) error { return os.WriteFile(at(parts...), []byte(text), 0o666) }
	return []func() error{
		func() error { return errors.Join(os.MkdirAll(at("a", "b", "c"), 0o777), write("one", "a", "b", "1")) },
		func() error { return write("two", "a", "b", "1") }, // as long, and at nearly the same time
		func() error { return os.Rename(at("a", "b"), at("d")) },
		func() error { return errors.Join(os.Rename(at("d", "1"), at("2")), write("three", "d", "1")) },
		func() error { return errors.Join(os.RemoveAll(at("a")), write("a file", "a")) },
		func() error {
			for i := range 200 {
				if err := write(strings.Repeat(fmt.Sprint(i), i*100), "d", fmt.Sprint("file-", i)); err != nil {
					return err
				}
			}
			return os.Remove(at("2"))
		},
	}
}

func TestMirror(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	must(t, os.MkdirAll(filepath.Join(from, "before", "it"), 0o777))
	must(t, os.WriteFile(filepath.Join(from, "before", "file"), []byte("began"), 0o444))
	must(t, os.MkdirAll(filepath.Join(to, "not", "there"), 0o777))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, from, to) }()
	become(t, from, to)
	for _, step := range steps(from) {
		must(t, step())
		become(t, from, to)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

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
