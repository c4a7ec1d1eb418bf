//go:build unix

package ringport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

var tableFullChild = child("descriptor table full", func() error {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte("content"), 0o666); err != nil {
		return err
	}
	for _, callerDriven := range []bool{false, true} {
		m, err := New(Config{CallerDriven: callerDriven})
		if err != nil {
			return err
		}
		cancelable, cancel := context.WithCancel(context.Background())
		defer cancel()
		for _, ctx := range []context.Context{context.Background(), cancelable} {
			if err := fillTable(m, ctx, dir, name); err != nil {
				return fmt.Errorf("%s: %w", modeName(callerDriven), err)
			}
		}
		if err := m.Close(); err != nil {
			return err
		}
	}
	return nil
})

// fillTable opens name until no descriptor is left, and looks whether the errors say so and leave things as they were.
func fillTable(m *Manager, ctx context.Context, dir, name string) error {
	d, err := m.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer d.Close()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		return err
	}
	full := old
	full.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &full); err != nil {
		return err
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
	for round := range 2 {
		var files []*File
		for {
			f, err := m.Open(ctx, name)
			if err != nil {
				var op *OpError
				if !errors.Is(err, syscall.EMFILE) || !errors.As(err, &op) || op.Op != "open" || op.Name != name {
					return fmt.Errorf("open: %w", err)
				}
				break
			}
			files = append(files, f)
		}
		if len(files) == 0 || len(files) > 64 {
			return fmt.Errorf("%d files could be opened", len(files))
		}
		if _, err := d.ReadDir(0); round == 0 && !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("ReadDir, which needs another descriptor: %v", err)
		}
		buf := make([]byte, 7)
		for _, f := range files {
			if n, err := f.Read(buf); string(buf[:n]) != "content" || err != nil {
				return fmt.Errorf("read: %q, %w", buf[:n], err)
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		if entries, err := d.ReadDir(0); round == 0 && (err != nil || len(entries) != 1) {
			return fmt.Errorf("ReadDir with descriptors again: %d entries, %w", len(entries), err)
		}
	}
	return nil
}

func TestFile_DescriptorTableFull(t *testing.T) {
	forBackends(t, func(t *testing.T, env string) { runChild(t, tableFullChild, env) })
}
