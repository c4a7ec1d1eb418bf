package ringport

import (
	"context"
	"errors"
	"os"
	"testing"
)

// TestFile_SyscallConn: calls that the package lacks wait for the file as its own do.
func TestFile_SyscallConn(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := filePipe(t, m)
		ctx, cancel := context.WithCancel(context.Background())
		conn, err := r.WithContext(ctx).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Control(func(fd uintptr) {
			if fd != r.Fd() {
				t.Errorf("descriptor %d, want %d", fd, r.Fd())
			}
		}); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 8)
		var n, tries int
		try := func(fd uintptr) bool {
			tries++
			var err error
			if n, err = tryRead(Handle(fd), buf); err != nil {
				t.Error(err)
			}
			return n > 0
		}
		whileInFlight(m, func() { put(t, Handle(w.Fd()), "hello") })
		if err := conn.Read(try); err != nil || string(buf[:max(n, 0)]) != "hello" || tries != 2 {
			t.Errorf("%q after %d tries, %v", buf[:max(n, 0)], tries, err)
		}
		r.SetReadDeadline(later)
		whileInFlight(m, func() { r.SetReadDeadline(soon) })
		if err := conn.Read(try); !isDeadline(err) {
			t.Errorf("a deadline: %v", err)
		}
		r.SetReadDeadline(later)
		whileInFlight(m, cancel)
		if err := conn.Read(try); !errors.Is(err, context.Canceled) {
			t.Errorf("a context: %v", err)
		}
		conn, _ = w.SyscallConn()
		if err := conn.Write(func(fd uintptr) bool {
			n, err = rawWrite(Handle(fd), []byte("x"))
			return true
		}); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		w.Close()
		for what, err := range map[string]error{"Control": conn.Control(func(uintptr) {}), "Read": conn.Read(try), "Write": conn.Write(try)} {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s of a closed file: %v", what, err)
			}
		}
	})
}
