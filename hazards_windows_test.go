package ringport

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"
)

// What can go wrong with overlapped I/O, by the numbers of docs/semantics.md, which says where each is tested.

// readingWith reads from h with an operation whose start function calls before and after, around the system's call.
func readingWith(h Handle, buf []byte, before, after func()) Op {
	return Overlapped("ReadFile", h, 0, func(ov *windows.Overlapped) Started {
		before()
		err := windows.ReadFile(windows.Handle(h), buf, new(uint32), ov)
		after()
		return Unchecked(err)
	})
}

func nothing() {}

// putRaw writes to the other end of a pipe, which is synchronous, past every manager.
func putRaw(t *testing.T, h Handle, message string) {
	if _, err := windows.Write(windows.Handle(h), []byte(message)); err != nil {
		t.Error(err)
	}
}

// rawPair is a pipe whose other end is synchronous.
func rawPair(t *testing.T, m *Manager, s pipeSort) (server, client Handle) {
	t.Helper()
	server, name := s.server(t, m)
	return server, pipeSort{s.messages, true}.dial(t, m, name)
}

// onReads runs f in both modes, and with a handle that is not overlapped where its start function, which a worker calls, may cancel.
func onReads(t *testing.T, f func(t *testing.T, m *Manager, s pipeSort)) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		if m.shared || !s.synchronous {
			f(t, m, s)
		}
	})
}

// TestHazard04CancelOfWhatIsOver: CancelIoEx finds nothing, since the call is over. Its result is delivered, and nobody waits for more.
func TestHazard04CancelOfWhatIsOver(t *testing.T) {
	onReads(t, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := rawPair(t, m, s)
		buf := make([]byte, 4)
		var op Op
		op = readingWith(server, buf, nothing, func() { m.Cancel(&op) })
		for range 100 {
			putRaw(t, client, "data")
			does(t, m, &op, 4, nil)
		}
	})
}

// TestHazard05CancelBeforeTheCall: the cancel comes when the operation has begun and its call has not been made, so that there is nothing yet to
// cancel; it is not lost. Nor is one that comes between the call and its answer.
func TestHazard05CancelBeforeTheCall(t *testing.T) {
	onReads(t, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := rawPair(t, m, s)
		buf := make([]byte, 4)
		var op Op
		ask := func() { m.Cancel(&op) }
		for range 50 {
			op = readingWith(server, buf, ask, nothing)
			does(t, m, &op, 0, ErrCanceled)
			if !s.synchronous { // whose call returns when it is over
				op = readingWith(server, buf, nothing, ask)
				does(t, m, &op, 0, ErrCanceled)
			}
		}
		putRaw(t, client, "data")
		does(t, m, ref(readingWith(server, buf, nothing, nothing)), 4, nil)
	})
}

// TestHazard06CancelledAndDone: data that has moved when the cancel comes is delivered, and no error.
func TestHazard06CancelledAndDone(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		server, client := rawPair(t, m, pipeSort{})
		buf := make([]byte, 4)
		var op Op
		op = readingWith(server, buf, nothing, func() {
			putRaw(t, client, "data")
			m.Cancel(&op)
		})
		for range 100 {
			does(t, m, &op, 4, nil)
			if string(buf) != "data" {
				t.Fatalf("%q", buf)
			}
			clear(buf)
		}
	})
}

// TestHazard06CancelOfSomebodyElse: nobody asked this manager, so that there is no cause to report but the system's own error.
func TestHazard06CancelOfSomebodyElse(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		server, _ := rawPair(t, m, pipeSort{})
		for _, op := range []*Op{ref(Read(server, make([]byte, 4), CurrentOffset)), ref(readingWith(server, make([]byte, 4), nothing, nothing))} {
			n, err := meanwhile(t, m, op, func() {
				if err := windows.CancelIoEx(windows.Handle(server), nil); err != nil {
					t.Error(err)
				}
			})
			if n != 0 || !errors.Is(err, windows.ERROR_OPERATION_ABORTED) || errors.Is(err, context.Canceled) {
				t.Errorf("%d, %v", n, err)
			}
		}
	})
}

// TestHazard09BytesOfAMessage: who reads a pipe of messages as bytes is told of no boundary.
func TestHazard09BytesOfAMessage(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		server, name := pipeSort{messages: true}.server(t, m)
		client := pipeSort{}.dial(t, m, name)
		does(t, m, ref(Write(server, []byte("0123456789"), CurrentOffset)), 10, nil)
		for _, n := range []int{4, 4, 2} {
			does(t, m, ref(Read(client, make([]byte, 4), CurrentOffset)), n, nil)
		}
	})
}

// TestHazard17HandleOfTheRuntime: a handle that the Go runtime has on its port can't be attached, and works.
func TestHazard17HandleOfTheRuntime(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		name := pipeName()
		h, err := pipeSort{}.instance(name)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(h), name)
		defer f.Close()
		client := pipeSort{synchronous: true}.dial(t, m, name)
		worksUnattached(t, m, Handle(h), func() { putRaw(t, client, "data") })
	})
}

// worksUnattached: reads of h, which is the runtime's, wait, are cancelled, and deliver what is put.
func worksUnattached(t *testing.T, m *Manager, h Handle, put func()) {
	t.Helper()
	if err := m.Attach(h); !errors.Is(err, ErrOtherPort) {
		t.Error(err)
	}
	buf := make([]byte, 4)
	op := Read(h, buf, CurrentOffset)
	for range 3 {
		cancelled(t, m, &op)
		expectResult(t, 4, nil)(meanwhile(t, m, &op, put))
		if string(buf) != "data" {
			t.Errorf("%q", buf)
		}
	}
}

// TestHazard18SocketOfTheRuntime: package net's sockets are on the runtime's port.
func TestHazard18SocketOfTheRuntime(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		raw, err := server.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		put := func() { client.Write([]byte("data")) }
		err = raw.Control(func(fd uintptr) {
			h := Handle(fd)
			worksUnattached(t, m, h, put)
			buf := make([]byte, 4)
			for _, op := range []*Op{ref(Recv(h, buf, 0)), ref(Recv(h, buf, msgWaitAll)), ref(RecvMsg(h, [][]byte{buf[:1], buf[1:]}, nil, nil, 0))} {
				cancelled(t, m, op)
				expectResult(t, 4, nil)(meanwhile(t, m, op, put))
				if string(buf) != "data" {
					t.Errorf("%q", buf)
				}
				clear(buf)
			}
			bufs, err := m.NewBuffers(1, 8)
			if err != nil {
				t.Fatal(err)
			}
			many := RecvMany(h, bufs, 0)
			ch := startMany(t, m, &many)
			for range 3 {
				put()
				if got := receive(t, m, ch); got.data != "data" || got.err != nil {
					t.Errorf("%+v", got)
				}
			}
			m.Cancel(&many)
			if got := receive(t, m, ch); !errors.Is(got.err, context.Canceled) || got.more {
				t.Errorf("%+v", got)
			}
			fails(t, m, "recv", syscall.EAGAIN, func(op *Op) { *op = Recv(h, buf, DontWait) })
			does(t, m, ref(Send(h, []byte("answer"), 0)), 6, nil)
			does(t, m, ref(SendMsg(h, [][]byte{[]byte("an"), []byte("swer")}, nil, nil, 0)), 6, nil)
		})
		if err != nil {
			t.Error(err)
		}
		if raw, err = l.(*net.TCPListener).SyscallConn(); err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			var from SocketAddress
			op := Accept(Handle(fd), &from)
			cancelled(t, m, &op)
			n, err := meanwhile(t, m, &op, func() {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				c.Write([]byte("data"))
			})
			if err != nil {
				t.Fatal(err)
			}
			h := Handle(n) // is ours
			if to, err := RemoteAddress(h); err != nil || to != from {
				t.Errorf("%v, %v, %v", to, from, err)
			}
			does(t, m, ref(Recv(h, make([]byte, 8), 0)), 4, nil)
			does(t, m, ref(CloseHandle(h)), 0, nil)
		})
		if err != nil {
			t.Error(err)
		}
	})
}
