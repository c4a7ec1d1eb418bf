package ringport

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"

	"github.com/ringport/ringport/internal/win32/win32test"
)

const fsctlSetSparse = 0x900c4

func bothWays(t *testing.T, f func(t *testing.T, m *Manager)) {
	for _, owned := range []bool{false, true} {
		name := "threaded"
		if owned {
			name = "caller-driven"
		}
		t.Run(name, func(t *testing.T) {
			m, err := New(Config{CallerDriven: owned})
			if err != nil {
				t.Fatal(err)
			}
			f(t, m)
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOverlappedDeviceIoControl(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		for _, flags := range []uint32{windows.FILE_FLAG_OVERLAPPED, 0} {
			name, _ := windows.UTF16PtrFromString(filepath.Join(t.TempDir(), "file"))
			h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.CREATE_NEW, flags, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer windows.CloseHandle(h)
			if err := m.Attach(Handle(h)); (err != nil) != (flags == 0) {
				t.Fatal(err)
			}
			op := Overlapped("DeviceIoControl", Handle(h), 0, func(ov *windows.Overlapped) Started {
				return Unchecked(windows.DeviceIoControl(h, fsctlSetSparse, nil, 0, nil, 0, nil, ov))
			})
			for range 3 {
				if n, err := m.Do(context.Background(), &op); n != 0 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
			bad := Overlapped("DeviceIoControl", Handle(h), 0, func(ov *windows.Overlapped) Started {
				return Unchecked(windows.DeviceIoControl(h, 0xdead0000, nil, 0, nil, 0, nil, ov))
			})
			_, err = m.Do(context.Background(), &bad)
			if op := (*OpError)(nil); !errors.As(err, &op) || op.Op != "DeviceIoControl" {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestOverlappedReadsAtOffset: the OVERLAPPED has the offset, and its end of file is io.EOF.
func TestOverlappedReadsAtOffset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o666); err != nil {
		t.Fatal(err)
	}
	bothWays(t, func(t *testing.T, m *Manager) {
		f, err := m.Open(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, 4)
		op := Overlapped("ReadFile", Handle(f.Fd()), 8, func(ov *windows.Overlapped) Started {
			if ov.HEvent != 0 {
				t.Error("a thread waits: the file is not attached")
			}
			return Unchecked(win32.ReadFile(windows.Handle(f.Fd()), &buf[0], 4, nil, ov))
		})
		if n, err := m.Do(context.Background(), &op); n != 2 || err != nil || string(buf[:2]) != "89" {
			t.Errorf("%d, %v, %q", n, err, buf)
		}
		end := Overlapped("ReadFile", Handle(f.Fd()), 10, func(ov *windows.Overlapped) Started {
			return Unchecked(win32.ReadFile(windows.Handle(f.Fd()), &buf[0], 4, nil, ov))
		})
		if n, err := m.Do(context.Background(), &end); n != 0 || err == nil || !errors.Is(err, io.EOF) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// TestOverlappedReadDirectoryChanges: it pends, is cancelled, and reports.
func TestOverlappedReadDirectoryChanges(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		dir := t.TempDir()
		h := watchedDir(t, m, dir)
		changes := make(win32test.Changes, 1024)
		op := Overlapped("ReadDirectoryChanges", h, 0, func(ov *windows.Overlapped) Started {
			return Unchecked(changes.Read(windows.Handle(h), ov))
		})
		ctx, cancel := context.WithCancel(context.Background())
		m.AfterFunc(0, cancel)
		if n, err := m.Do(ctx, &op); n != 0 || !errors.Is(err, context.Canceled) {
			t.Fatalf("%d, %v", n, err)
		}
		m.AfterFunc(0, func() { os.WriteFile(filepath.Join(dir, "new"), nil, 0o666) })
		n, err := m.Do(context.Background(), &op)
		if err != nil || n == 0 {
			t.Fatalf("%d, %v", n, err)
		}
		if changes.Name() != "new" {
			t.Errorf("%q", changes.Name())
		}
	})
}

// watchedDir opens a folder for ReadDirectoryChanges.
func watchedDir(t *testing.T, m *Manager, dir string) Handle {
	t.Helper()
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		t.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.FILE_LIST_DIRECTORY, share, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pipeSort{}.attach(t, m, h)
}
