//go:build unix

package ringport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/patience"
)

// socketFile makes a File of a socket, which the end of the test closes.
func socketFile(t testing.TB, m *Manager, domain, kind int) *File {
	t.Helper()
	f, err := m.NewFile(Handle(do(t, m, ptr(func(op *Op) { *op = Socket(domain, kind, 0) }))), "socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestFile_Do: operations that File has no method for run on its handle, whichever they were made with, and its deadlines and Close end
// them, as far as they are for the same way.
func TestFile_Do(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := socketFile(t, m, syscall.AF_INET, syscall.SOCK_DGRAM)
		at := mustAddress(t, "127.0.0.1:0")
		bind := Bind(^Handle(0), at)
		if _, err := f.Do(&bind); err != nil {
			t.Fatal(err)
		}
		at, err := LocalAddress(Handle(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		var from SocketAddress
		buf, control := make([]byte, 16), make([]byte, 16)
		in, out := RecvMsg(0, nil, nil, &from, 0), SendMsg(0, nil, nil, &at, 0)
		for _, text := range []string{"one", "three"} { // the same two operations
			out.SetMessage([][]byte{[]byte(text)}, nil)
			if n, err := f.DoWrite(&out); n != len(text) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			in.SetMessage([][]byte{buf[:2], buf[2:]}, control)
			if n, err := f.DoRead(&in); string(buf[:n]) != text || err != nil || from != at {
				t.Errorf("%q from %v, %v", buf[:n], from, err)
			}
		}
		f.SetReadDeadline(later)
		whileInFlight(m, func() { f.SetReadDeadline(soon) })
		if _, err := f.DoRead(&in); !isDeadline(err) {
			t.Errorf("a deadline: %v", err)
		}
		f.SetReadDeadline(soon)
		if _, err := f.DoWrite(&out); err != nil {
			t.Errorf("the other way's deadline: %v", err)
		}
		f.SetDeadline(soon)
		if _, err := f.Do(ptr(func(op *Op) { *op = Shutdown(0, ShutdownBoth) })); isDeadline(err) {
			t.Errorf("a deadline for what is neither: %v", err)
		}
		f.Close()
		if _, err := f.DoRead(&in); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a closed file: %v", err)
		}
		read := Recv(0, buf, 0)
		read.SetMessage([][]byte{buf}, control) // does nothing
		if n, flags := read.Received(); n != 0 || flags != 0 {
			t.Errorf("%d, %d", n, flags)
		}
	})
}

// TestFile_DoInFlight: an operation that is in flight is left alone.
func TestFile_DoInFlight(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := socketFile(t, m, syscall.AF_INET, syscall.SOCK_DGRAM)
		bind := Bind(0, mustAddress(t, "127.0.0.1:0"))
		if _, err := f.Do(&bind); err != nil {
			t.Fatal(err)
		}
		op := RecvFrom(0, make([]byte, 8), nil, 0)
		ended := make(chan error)
		go func() {
			_, err := f.DoRead(&op)
			ended <- err
		}()
		if err := patience.Until(func() error {
			if m.Stats().InFlight != 1 {
				return errors.New("it is not in flight")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.DoRead(&op); !errors.Is(err, ErrInFlight) {
			t.Errorf("again: %v", err)
		}
		f.Close()
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestFile_Messages: RecvFrom and SendTo move messages whole, those that wait and those that need not, and a deadline, a context and Close
// end what waits.
func TestFile_Messages(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f, at := datagrams(t, m)
		none, buf := SocketAddress{}, make([]byte, 4)
		for _, to := range []*SocketAddress{&none, nil} {
			if _, err := f.SendTo([]byte("lost"), to); !errors.Is(err, syscall.EDESTADDRREQ) {
				t.Errorf("to nobody: %v", err)
			}
		}
		for _, text := range []string{"four", "", "longer"} {
			for _, from := range []*SocketAddress{new(SocketAddress), nil} {
				if n, err := f.SendTo([]byte(text), &at); n != len(text) || err != nil {
					t.Fatalf("%q: %d, %v", text, n, err)
				}
				n, err := f.RecvFrom(buf, from)
				if string(buf[:n]) != text[:min(len(text), len(buf))] || err != nil || from != nil && *from != at {
					t.Errorf("%q: %q from %v, %v", text, buf[:n], from, err)
				}
			}
		}
		var from SocketAddress
		whileInFlight(m, func() { f.SendTo([]byte("late"), &at) })
		if n, err := f.RecvFrom(buf, &from); string(buf[:n]) != "late" || err != nil || from != at {
			t.Errorf("one that was waited for: %q from %v, %v", buf[:n], from, err)
		}
		var e *OpError
		f.SetReadDeadline(later)
		whileInFlight(m, func() { f.SetReadDeadline(soon) })
		if _, err := f.RecvFrom(buf, nil); !isDeadline(err) || !errors.As(err, &e) || e.Op != "recvfrom" || e.Name != "socket" {
			t.Errorf("a deadline: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f.SetDeadline(time.Time{})
		if _, err := f.WithContext(ctx).SendTo(buf, &at); !errors.Is(err, context.Canceled) {
			t.Errorf("a context: %v", err)
		}
		f.SetDeadline(soon)
		if _, err := f.SendTo(buf, &at); !isDeadline(err) {
			t.Errorf("a deadline: %v", err)
		}
		f.Close()
		if _, err := f.RecvFrom(buf, nil); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a closed file: %v", err)
		}
		if _, err := f.SendTo(buf, &at); !errors.Is(err, os.ErrClosed) || !errors.As(err, &e) || e.Op != "sendto" {
			t.Errorf("a closed file: %v", err)
		}
	})
}

// TestFile_SendToWaits: a message for which there is no room waits for it, and is sent whole, or ended.
func TestFile_SendToWaits(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		var ends [2]*File
		for i, fd := range pair {
			if ends[i], err = m.NewFile(Handle(fd), "socket"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ends[i].Close() })
		}
		a, b, message, waiting := ends[0], ends[1], make([]byte, 1000), 0
		fill := SendTo(0, message, SocketAddress{}, DontWait)
		for ; err == nil; waiting++ {
			_, err = a.DoWrite(&fill)
		}
		if waiting--; !errors.Is(err, syscall.EAGAIN) {
			t.Fatal(err)
		}
		var none SocketAddress
		a.SetWriteDeadline(later)
		whileInFlight(m, func() { a.SetWriteDeadline(soon) })
		if n, err := a.SendTo([]byte("ended"), &none); n != 0 || !isDeadline(err) {
			t.Errorf("%d, %v", n, err)
		}
		a.SetWriteDeadline(time.Time{})
		failed := make(chan error, waiting)
		whileInFlight(m, func() {
			for range waiting {
				n, err := b.RecvFrom(message, nil)
				if err == nil && n != len(message) {
					err = fmt.Errorf("%d bytes", n)
				}
				failed <- err
			}
		})
		if n, err := a.SendTo([]byte("patient"), &none); n != 7 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		for range waiting {
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
		if n, err := b.RecvFrom(message, nil); string(message[:n]) != "patient" || err != nil {
			t.Errorf("%q, %v", message[:n], err)
		}
	})
}

// datagrams makes a socket for datagrams, and returns its address.
func datagrams(t testing.TB, m *Manager) (*File, SocketAddress) {
	t.Helper()
	f := socketFile(t, m, syscall.AF_INET, syscall.SOCK_DGRAM)
	bind := Bind(0, mustAddress(t, "127.0.0.1:0"))
	if _, err := f.Do(&bind); err != nil {
		t.Fatal(err)
	}
	at, err := LocalAddress(Handle(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return f, at
}

// TestFile_Socket: reads and writes of a socket, whether they wait or not, are called that in errors, and each byte comes once, in order.
func TestFile_Socket(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		t.Run("registered", func(t *testing.T) { testFileSocket(t, open(t, c)) })
		t.Run("not registered", func(t *testing.T) {
			m := open(t, c)
			m.arrivals.Close() // as if there were no room for registrations
			testFileSocket(t, m)
		})
	})
}

func testFileSocket(t *testing.T, m *Manager) {
	a, b := fileConnection(t, m)
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i ^ i>>8)
	}
	buf := make([]byte, 1000)
	for sent, got := 0, 0; got < len(data); {
		a.SetWriteDeadline(time.Now().Add(time.Millisecond)) // b doesn't read meanwhile, in caller-driven mode least of all
		n, err := a.Write(data[sent:])
		if sent += n; err != nil && !isDeadline(err) || n < 0 {
			t.Fatal(n, err)
		}
		for got < sent {
			n, err := b.Read(buf)
			if err != nil || string(buf[:n]) != string(data[got:got+n]) {
				t.Fatalf("%d bytes at %d, %v", n, got, err)
			}
			got += n
		}
	}
	var e *OpError
	b.SetReadDeadline(soon)
	if _, err := b.Read(buf); !errors.As(err, &e) || e.Op != "read" || e.Name != "socket" {
		t.Errorf("%v", err)
	}
	b.SetReadDeadline(time.Time{})
	if _, err := a.Do(ptr(func(op *Op) { *op = Shutdown(0, ShutdownWrite) })); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	a.SetWriteDeadline(time.Time{})
	if _, err := a.Write(buf); !errors.Is(err, syscall.EPIPE) || !errors.As(err, &e) || e.Op != "write" {
		t.Errorf("%v", err)
	}
}

// fileConnection is a connection, each end a File.
func fileConnection(t testing.TB, m *Manager) (client, server *File) {
	t.Helper()
	l, at := listener(t, m, 1)
	client = socketFile(t, m, syscall.AF_INET, syscall.SOCK_STREAM)
	connect := Connect(0, at)
	if _, err := client.Do(&connect); err != nil {
		t.Fatal(err)
	}
	h := Handle(do(t, m, ptr(func(op *Op) { *op = Accept(l, nil) })))
	server, err := m.NewFile(h, "socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// TestFile_SocketDeadlineAtAnyMoment: a deadline ends a read of a socket whether it comes before the read waits, after, or in between.
func TestFile_SocketDeadlineAtAnyMoment(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		_, b := fileConnection(t, open(t, c))
		var round atomic.Int64
		ended := make(chan error)
		const rounds = 60000
		go func() {
			buf := make([]byte, 8)
			for i := range int64(rounds) {
				for round.Load() <= i { // a channel would take longer than what is to happen at once
					runtime.Gosched()
				}
				_, err := b.Read(buf)
				ended <- err
			}
		}()
		for i := range rounds {
			round.Add(1)
			for range i % 300 {
				round.Load()
			}
			b.SetReadDeadline(soon)
			if err := <-ended; !isDeadline(err) {
				t.Fatal(err)
			}
			b.SetReadDeadline(time.Time{})
		}
	})
}

// TestTrace_Sockets: a trace has what is sent and received, though it could be done without an operation.
func TestTrace_Sockets(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		pair := func(kind int) (a, b *File) {
			fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
			if err != nil {
				t.Fatal(err)
			}
			var files [2]*File
			for i, fd := range fds {
				if files[i], err = m.NewFile(Handle(fd), "socket"); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { files[i].Close() })
			}
			return files[0], files[1]
		}
		a, b := pair(unix.SOCK_STREAM)
		to, from := pair(unix.SOCK_DGRAM)
		buf := make([]byte, 2)
		in, out := RecvMsg(0, [][]byte{buf}, nil, nil, 0), SendMsg(0, [][]byte{buf}, nil, nil, 0)
		for _, step := range []struct {
			what string
			f    func() (int, error)
			want string
		}{
			{"Write", func() (int, error) { return a.Write([]byte("abcd")) }, "send"},
			{"Read", func() (int, error) { return b.Read(buf) }, "recv"},
			{"the next Read", func() (int, error) { return b.Read(buf) }, "recv"},
			{"SendTo", func() (int, error) { return to.SendTo(buf, nil) }, "sendmsg"},
			{"RecvFrom", func() (int, error) { return from.RecvFrom(buf, nil) }, "recvmsg"},
			{"DoWrite", func() (int, error) { return to.DoWrite(&out) }, "sendmsg"},
			{"DoRead", func() (int, error) { return from.DoRead(&in) }, "recvmsg"},
		} {
			got := regionsIn(traced(t, func() {
				if n, err := step.f(); n < len(buf) || err != nil {
					t.Errorf("%s: %d, %v", step.what, n, err)
				}
			}))
			if !got[step.want] {
				t.Errorf("%s: nothing is called %s, but %v", step.what, step.want, got)
			}
		}
	})
}
