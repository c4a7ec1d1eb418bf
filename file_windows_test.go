package ringport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// anonymousPipe is a pipe as CreatePipe makes them, which is never overlapped. Its ends are the caller's.
func anonymousPipe(t *testing.T) (r, w Handle) {
	t.Helper()
	var in, out windows.Handle
	if err := windows.CreatePipe(&in, &out, nil, 4096); err != nil {
		t.Fatal(err)
	}
	return Handle(in), Handle(out)
}

// TestFile_SynchronousHandles: a handle that can't be attached makes a File all the same, also while somebody is blocked in a read of it, when
// it answers no question. Its reads end with their context.
func TestFile_SynchronousHandles(t *testing.T) {
	m, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, w := anonymousPipe(t)
	if err := m.Attach(r); !errors.Is(err, ErrNotOverlapped) {
		t.Fatal(err)
	}
	blocked := make(chan error)
	go func() {
		var b [1]byte
		_, err := windows.Read(windows.Handle(r), b[:])
		blocked <- err
	}()
	f, err := m.NewFile(r, "pipe")
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.NewFile(w, "pipe")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-blocked; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := f.WithContext(ctx).Read(make([]byte, 8))
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := g.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if n, err := f.Read(b); string(b[:n]) != "data" || err != nil {
		t.Errorf("%q, %v", b[:n], err)
	}
	for _, f := range []*File{f, g} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFile_SharingModes: what others may do with a file that is open is the same as with one that package os has opened.
func TestFile_SharingModes(t *testing.T) {
	try := func(name string, open func(name string, flag int) (io.Closer, error), flag int) (said string) {
		f, err := open(name, flag)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND} {
			g, err := os.OpenFile(name, other, 0)
			if said += fmt.Sprintf("open %#x: %v\n", other, errors.Unwrap(err)); err == nil {
				g.Close()
			}
		}
		said += fmt.Sprintln("rename:", errors.As(os.Rename(name, name+".new"), new(*os.LinkError)))
		said += fmt.Sprintln("remove:", errors.Unwrap(os.Remove(name)))
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		return said + fmt.Sprintln("remove, closed:", errors.Unwrap(os.Remove(name)))
	}
	bothWays(t, func(t *testing.T, m *Manager) {
		ours := func(name string, flag int) (io.Closer, error) { return m.OpenFile(t.Context(), name, flag, 0o666) }
		theirs := func(name string, flag int) (io.Closer, error) { return os.OpenFile(name, flag, 0o666) }
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_APPEND} {
			if got, want := try(named(t, []byte("content")), ours, flag), try(named(t, []byte("content")), theirs, flag); got != want {
				t.Errorf("open with %#x:\n%swant\n%s", flag, got, want)
			}
		}
	})
}

// share is a folder, and its path on the network.
func share(t *testing.T) (local, path string) {
	t.Helper()
	if !wine {
		local = t.TempDir()
		path = `\\localhost\` + local[:1] + "$" + local[2:]
		if _, err := os.Stat(path); err != nil {
			t.Skip("only administrators may use a drive's share, and where there is a server: ", err)
		}
		return local, path
	}
	// Wine has no network's file systems: it looks for shares in a folder of its prefix.
	shares := filepath.Join(`Z:\`, os.Getenv("WINEPREFIX"), "dosdevices", "unc", "localhost")
	must(t, os.MkdirAll(shares, 0o777))
	local, err := os.MkdirTemp(shares, "share")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(local) })
	return local, `\\localhost\` + filepath.Base(local)
}

// TestFile_NetworkPaths: a file on a share is a file, by a short path and by one that is too long for the form that it has.
func TestFile_NetworkPaths(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		local, network := share(t)
		dirs := []string{"", strings.Repeat("a", 100), strings.Repeat("b", 100), strings.Repeat("c", 100)}
		for i := range dirs[1:] {
			dirs[i+1] = filepath.Join(dirs[i], dirs[i+1])
			do(t, m, ptr(func(op *Op) { *op = MkdirAt(CurrentDir, filepath.Join(network, dirs[i+1]), 0o777) }))
		}
		for _, dir := range []string{"", dirs[3]} {
			name, renamed := filepath.Join(network, dir, "file"), filepath.Join(network, dir, "renamed")
			f, err := m.Create(t.Context(), name)
			must(t, err)
			_, err = f.WriteString(dir)
			must(t, errors.Join(err, f.Close()))
			if got, err := os.ReadFile(filepath.Join(local, dir, "file")); err != nil || string(got) != dir {
				t.Errorf("%q, %v", got, err)
			}
			do(t, m, ptr(func(op *Op) { *op = RenameAt(CurrentDir, name, CurrentDir, renamed, 0) }))
			f, err = m.Open(t.Context(), renamed)
			must(t, err)
			if got, err := io.ReadAll(f); err != nil || string(got) != dir {
				t.Errorf("%q, %v", got, err)
			}
			must(t, f.Close())
			do(t, m, ptr(func(op *Op) { *op = UnlinkAt(CurrentDir, renamed, 0) }))
		}
	})
}
