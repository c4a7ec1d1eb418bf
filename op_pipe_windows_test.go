package ringport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"golang.org/x/sys/windows"
)

// cancelled starts op and expects that it waits, and ends with the cause when its context ends.
func cancelled(t *testing.T, m *Manager, op *Op) {
	t.Helper()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	m.AfterFunc(0, func() { cancel(cause) })
	n, err := m.Do(ctx, op)
	if n != 0 || !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
		t.Fatalf("%d, %v", n, err)
	}
}

// TestHazard21ConnectPipe: a client comes while it waits, has come before, and has gone again.
func TestHazard21ConnectPipe(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		server, name := s.server(t, m)
		cancelled(t, m, ref(ConnectPipe(server)))

		// The client comes while it waits, or has come already.
		op := ConnectPipe(server)
		expectResult(t, 0, nil)(meanwhile(t, m, &op, func() { s.dial(t, m, name) }))
		does(t, m, &op, 0, nil)
		does(t, m, ref(DisconnectPipe(server)), 0, nil)
		does(t, m, ref(Write(server, []byte("nobody"), CurrentOffset)), 0, windows.ERROR_PIPE_NOT_CONNECTED)
		cancelled(t, m, ref(ConnectPipe(server)))

		// It has come before, and stays or has gone.
		server, name = s.server(t, m)
		s.dial(t, m, name)
		does(t, m, ref(ConnectPipe(server)), 0, nil)
		server, name = s.server(t, m)
		c, err := s.client(name)
		if err != nil {
			t.Fatal(err)
		}
		windows.CloseHandle(c)
		op = ConnectPipe(server)
		n, err := m.Do(context.Background(), op.Named("the pipe"))
		var wrong *OpError
		if n != 0 || !errors.Is(err, windows.ERROR_NO_DATA) || !errors.As(err, &wrong) || wrong.Op != "ConnectNamedPipe" || wrong.Name != "the pipe" {
			t.Errorf("%d, %v", n, err)
		}
		does(t, m, ref(DisconnectPipe(server)), 0, nil)
		expectResult(t, 0, nil)(meanwhile(t, m, &op, func() { s.dial(t, m, name) }))
	})
}

// TestPipe_DisconnectEnds: what is in flight at either end ends, and what the client has not read is lost. On a handle that is not
// overlapped the system would make it wait for the read.
func TestPipe_DisconnectEnds(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		s := pipeSort{}
		server, client := s.pair(t, m)
		does(t, m, ref(Write(server, []byte("lost"), CurrentOffset)), 4, nil)
		read := Read(server, make([]byte, 8), CurrentOffset)
		expectResult(t, 0, io.EOF)(meanwhile(t, m, &read, func() { does(t, m, ref(DisconnectPipe(server)), 0, nil) }))
		does(t, m, ref(Read(client, make([]byte, 8), CurrentOffset)), 0, io.EOF)
		does(t, m, ref(PeekPipe(server, nil, nil)), 0, windows.ERROR_BAD_PIPE)
	})
}

func TestPipe_Peek(t *testing.T) {
	onPipes(t, true, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := s.pair(t, m)
		buf := make([]byte, 4)
		info := PipePeek{1, 1}
		does(t, m, ref(PeekPipe(server, buf, &info)), 0, nil)
		if info != (PipePeek{}) {
			t.Errorf("%+v", info)
		}
		does(t, m, ref(Write(client, []byte("message"), CurrentOffset)), 7, nil)
		does(t, m, ref(Write(client, []byte("another"), CurrentOffset)), 7, nil)
		for range 2 {
			does(t, m, ref(PeekPipe(server, buf, &info)), 4, nil)
			if string(buf) != "mess" || info != (PipePeek{AvailableBytes: 14, LeftBytes: 3}) {
				t.Errorf("%q, %+v", buf, info)
			}
		}
		does(t, m, ref(PeekPipe(server, nil, nil)), 0, nil)
		does(t, m, closing(client), 0, nil)
		does(t, m, ref(PeekPipe(server, buf, nil)), 4, nil)
		does(t, m, ref(Read(server, make([]byte, 8), CurrentOffset)), 7, nil)
		does(t, m, ref(Read(server, make([]byte, 8), CurrentOffset)), 7, nil)
		does(t, m, ref(PeekPipe(server, buf, nil)), 0, windows.ERROR_BROKEN_PIPE)
	})
}

func TestPipe_Transact(t *testing.T) {
	onPipes(t, true, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := s.pair(t, m)
		answer := make([]byte, 4)
		question := make([]byte, 16)
		op := TransactPipe(client, []byte("question"), answer)
		expectResult(t, 0, ErrCanceled)(meanwhile(t, m, &op, func() {
			does(t, m, ref(Read(server, question, CurrentOffset)), 8, nil)
			m.Cancel(&op)
		}))

		for _, text := range []string{"yes", "", "too long"} {
			want := error(nil)
			if len(text) > len(answer) {
				want = ErrMoreData
			}
			expectResult(t, min(len(text), len(answer)), want)(meanwhile(t, m, &op, func() {
				clear(question)
				does(t, m, ref(Read(server, question, CurrentOffset)), 8, nil)
				does(t, m, ref(Write(server, []byte(text), CurrentOffset)), len(text), nil)
			}))
			if n := min(len(text), len(answer)); string(answer[:n]) != text[:n] || string(question[:8]) != "question" {
				t.Errorf("%q to %q", answer[:n], question)
			}
		}
		does(t, m, ref(TransactPipe(client, []byte("question"), answer)), 0, windows.ERROR_PIPE_BUSY)
		does(t, m, ref(Read(client, answer, CurrentOffset)), 4, nil)
		if string(answer) != "long" {
			t.Errorf("%q", answer)
		}
	})
}

// messageReads are all the ways to read a message into 4 bytes.
var messageReads = []struct {
	name string
	read func(m *Manager, f *File, buf []byte) (int, error)
}{
	{"Read", func(m *Manager, f *File, buf []byte) (int, error) {
		op := Read(Handle(f.Fd()), buf, CurrentOffset)
		return m.Do(context.Background(), &op)
	}},
	{"Readv", func(m *Manager, f *File, buf []byte) (int, error) {
		op := Readv(Handle(f.Fd()), [][]byte{buf[:1], nil, buf[1:]}, CurrentOffset)
		return m.Do(context.Background(), &op)
	}},
	{"File.Read", func(m *Manager, f *File, buf []byte) (int, error) { return f.Read(buf) }},
	{"File.Readv", func(m *Manager, f *File, buf []byte) (int, error) { return f.Readv([][]byte{buf[:3], buf[3:]}) }},
}

// onMessages runs f with each of messageReads, and a function that writes a message to the other end, before the read or while it waits.
func onMessages(t *testing.T, f func(t *testing.T, put func(message string), read func(buf []byte) (int, error), end func())) {
	onPipes(t, true, func(t *testing.T, m *Manager, s pipeSort) {
		for _, c := range messageReads {
			for _, early := range []bool{false, true} {
				t.Run(map[bool]string{false: c.name, true: c.name + ", waiting"}[early], func(t *testing.T) {
					server, client := s.pair(t, m)
					file := fileOf(t, m, client)
					put := func(message string) {
						op := Write(server, []byte(message), CurrentOffset)
						if !early {
							does(t, m, &op, len(message), nil)
							return
						}
						m.AfterFunc(0, func() {
							if err := m.Start(&op, func(*Op) {}); err != nil {
								t.Error(err)
							}
						})
					}
					f(t, put, func(buf []byte) (int, error) { return c.read(m, file, buf) }, func() { does(t, m, closing(server), 0, nil) })
					if err := file.Close(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	})
}

// TestHazard09MoreDataCarriesData: a buffer that is too small gets what fits, the error says that there is more, and the next read gets it.
func TestHazard09MoreDataCarriesData(t *testing.T) {
	onMessages(t, func(t *testing.T, put func(string), read func([]byte) (int, error), end func()) {
		put("0123456789")
		buf := make([]byte, 4)
		for _, want := range []string{"0123", "4567", "89"} {
			n, err := read(buf)
			if string(buf[:n]) != want || (err != nil) != (n == 4) {
				t.Fatalf("%q, %v; want %q", buf[:n], err, want)
			}
			if err != nil && (!errors.Is(err, ErrMoreData) || !errors.Is(err, windows.ERROR_MORE_DATA)) {
				t.Errorf("%v", err)
			}
		}
		put("last")
		expectResult(t, 4, nil)(read(buf))
		end()
		expectResult(t, 0, io.EOF)(read(buf))
	})
}

// TestHazard14EmptyMessageIsNotTheEnd: a message of no bytes is read as such; the end is when the other end is closed.
func TestHazard14EmptyMessageIsNotTheEnd(t *testing.T) {
	onMessages(t, func(t *testing.T, put func(string), read func([]byte) (int, error), end func()) {
		buf := make([]byte, 4)
		for range 3 {
			put("")
			expectResult(t, 0, nil)(read(buf))
		}
		put("data")
		expectResult(t, 4, nil)(read(buf))
		end()
		for range 2 {
			expectResult(t, 0, io.EOF)(read(buf))
		}
	})
}

// TestPipe_CopyIgnoresBoundaries: whoever copies a pipe of messages gets their bytes, however long a message is, and empty ones do not end it.
func TestPipe_CopyIgnoresBoundaries(t *testing.T) {
	m, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	server, client := pipeSort{messages: true}.pair(t, m)
	in := fileOf(t, m, client)
	defer in.Close()
	long := bytes.Repeat([]byte("0123456789abcdef"), (3*copyBytes+160)/16)
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, op := range []*Op{ref(Write(server, long, CurrentOffset)), ref(Write(server, nil, CurrentOffset)),
			ref(Write(server, []byte("end"), CurrentOffset)), ref(Fsync(server)), closing(server)} {
			if _, err := m.Do(context.Background(), op); err != nil {
				t.Error(err)
			}
		}
	})
	var got bytes.Buffer
	if n, err := io.Copy(&got, in); err != nil || !bytes.Equal(got.Bytes(), append(long, "end"...)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	wg.Wait()
}
