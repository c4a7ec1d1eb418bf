package ringport

import (
	"context"
	"errors"
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
