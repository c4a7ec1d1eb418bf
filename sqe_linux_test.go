package ringport

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	opcodeNop    = 0  // IORING_OP_NOP
	opcodeMkdir  = 37 // IORING_OP_MKDIRAT
	opcodeAbsent = 250
)

// forSQE runs f where there are submission entries.
func forSQE(t *testing.T, f func(t *testing.T, m *Manager)) {
	t.Helper()
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		if c.Backend == BackendIOUring {
			f(t, m)
			return
		}
		called := false
		op := SQE("nothing", func(*RawSQE) { called = true })
		n, err := m.Do(context.Background(), &op)
		checkTyped(t, "SQE", n, err, ErrUnsupported)
		if !errors.Is(err, errors.ErrUnsupported) || called {
			t.Errorf("%v; the entry was filled: %v", err, called)
		}
		fails(t, m, "nil", ErrInvalidOp, func(op *Op) { *op = SQE("nil", nil) })
	})
}

func TestSQE_MakesAFolder(t *testing.T) {
	forSQE(t, func(t *testing.T, m *Manager) {
		path := filepath.Join(t.TempDir(), "folder")
		name, err := unix.ByteSliceFromString(path)
		if err != nil {
			t.Fatal(err)
		}
		filled := 0
		op := SQE("mkdirat", func(e *RawSQE) {
			filled++
			e.SetBuffer(name)
			e.Opcode, e.FD, e.Len = opcodeMkdir, unix.AT_FDCWD, 0o700
		}, name)
		runtime.GC()
		if n := do(t, m, &op); n != 0 {
			t.Errorf("%d", n)
		}
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			t.Errorf("%v, %v", info, err)
		}
		_, err = m.Do(context.Background(), op.Named("the folder"))
		checkTyped(t, "again", 0, err, os.ErrExist)
		if err != nil && err.Error() != "raw the folder: file exists" {
			t.Errorf("%q", err)
		}
		if filled != 2 {
			t.Errorf("filled %d times", filled)
		}
	})
}

func TestSQE_BadInput(t *testing.T) {
	forSQE(t, func(t *testing.T, m *Manager) {
		fails(t, m, "nil", ErrInvalidOp, func(op *Op) { *op = SQE("nil", nil) })
		fails(t, m, "no such operation", syscall.EINVAL, func(op *Op) {
			*op = SQE("absent", func(e *RawSQE) { e.Opcode = opcodeAbsent })
		})
		// It is filled outside of every lock.
		other := readOp(^Handle(0), 1, 0)
		op := SQE("nop", func(e *RawSQE) {
			e.Opcode = opcodeNop
			if err := m.Start(other, func(*Op) {}); err != nil {
				t.Error(err)
			}
			m.Cancel(other)
			m.Wake()
		})
		do(t, m, &op)
		// The user data is the manager's.
		op = SQE("nop", func(e *RawSQE) { e.Opcode, e.UserData = opcodeNop, 12345 })
		do(t, m, &op)
	})
}
