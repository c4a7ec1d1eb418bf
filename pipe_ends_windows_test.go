package ringport

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/windows"
)

var pipeNumber atomic.Int64

// pipeName is a name that no pipe has had, be it one of namedPipe's.
func pipeName() string {
	return fmt.Sprintf(`\\.\pipe\ringport-ends-%d-%d`, os.Getpid(), pipeNumber.Add(1))
}

// pipeSort is how the pipe of a test is made.
type pipeSort struct {
	messages    bool // PIPE_TYPE_MESSAGE and PIPE_READMODE_MESSAGE, at both ends
	synchronous bool // without FILE_FLAG_OVERLAPPED
}

func (s pipeSort) flags() uint32 {
	if s.synchronous {
		return 0
	}
	return windows.FILE_FLAG_OVERLAPPED
}

// instance makes an instance of the named pipe, which listens.
func (s pipeSort) instance(name string) (windows.Handle, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	mode := uint32(0)
	if s.messages {
		mode = windows.PIPE_TYPE_MESSAGE | windows.PIPE_READMODE_MESSAGE
	}
	return windows.CreateNamedPipe(path, windows.PIPE_ACCESS_DUPLEX|s.flags(), mode, windows.PIPE_UNLIMITED_INSTANCES, 4096, 4096, 0, nil)
}

// client opens the named pipe.
func (s pipeSort) client(name string) (windows.Handle, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	h, err := windows.CreateFile(path, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, s.flags(), 0)
	if err == nil && s.messages {
		mode := uint32(windows.PIPE_READMODE_MESSAGE)
		if err = windows.SetNamedPipeHandleState(h, &mode, nil, nil); err != nil { // it was disconnected meanwhile
			windows.CloseHandle(h)
		}
	}
	return h, err
}

// fileOf makes a File of h, which closes it.
func fileOf(t *testing.T, m *Manager, h Handle) *File {
	t.Helper()
	f, err := m.NewFile(h, "file")
	if err != nil {
		t.Fatal(err)
	}
	disown(h)
	return f
}

// attach makes h the test's to close, and expects what Attach says of it: nothing if it is overlapped.
func (s pipeSort) attach(t *testing.T, m *Manager, h windows.Handle) Handle {
	t.Helper()
	own(t, Handle(h))
	if err := m.Attach(Handle(h)); (err != nil) != s.synchronous {
		t.Fatal(err)
	}
	return Handle(h)
}

// server is a new instance and its name.
func (s pipeSort) server(t *testing.T, m *Manager) (Handle, string) {
	t.Helper()
	name := pipeName()
	h, err := s.instance(name)
	if err != nil {
		t.Fatal(err)
	}
	return s.attach(t, m, h), name
}

func (s pipeSort) dial(t *testing.T, m *Manager, name string) Handle {
	t.Helper()
	h, err := s.client(name)
	for err == windows.ERROR_PIPE_BUSY { // no instance listens yet
		h, err = s.client(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.attach(t, m, h)
}

// pair is a connected pipe.
func (s pipeSort) pair(t *testing.T, m *Manager) (server, client Handle) {
	t.Helper()
	server, name := s.server(t, m)
	client = s.dial(t, m, name)
	op := ConnectPipe(server)
	if n, err := m.Do(t.Context(), &op); n != 0 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	return server, client
}

// onPipes runs f in both modes, with handles that are overlapped and such as are not.
func onPipes(t *testing.T, messages bool, f func(t *testing.T, m *Manager, s pipeSort)) {
	bothWays(t, func(t *testing.T, m *Manager) {
		t.Run("overlapped", func(t *testing.T) { f(t, m, pipeSort{messages, false}) })
		t.Run("synchronous", func(t *testing.T) { f(t, m, pipeSort{messages, true}) })
	})
}

// does expects of op a result, and an error if one is wanted.
func does(t *testing.T, m *Manager, op *Op, n int, want error) {
	t.Helper()
	expectResult(t, n, want)(m.Do(t.Context(), op))
}

// expectResult makes a function that takes what was returned.
func expectResult(t *testing.T, n int, want error) func(int, error) {
	t.Helper()
	return func(got int, err error) {
		t.Helper()
		if got != n || want == nil && err != nil || !errors.Is(err, want) {
			t.Fatalf("%d, %v; want %d, %v", got, err, n, want)
		}
	}
}

// ref makes an operation that a test needs once.
func ref[T any](v T) *T { return &v }

// meanwhile starts op, calls do, and waits for op's result.
func meanwhile(t *testing.T, m *Manager, op *Op, do func()) (int, error) {
	t.Helper()
	done := make(chan struct{})
	if err := m.Start(op, func(*Op) { close(done) }); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	do()
	awaitClosed(t, m, done)
	return op.Result()
}

// awaitClosed steps a caller-driven manager until done is closed.
func awaitClosed(t *testing.T, m *Manager, done <-chan struct{}) {
	t.Helper()
	for !m.shared {
		select {
		case <-done:
			return
		default:
		}
		if _, err := m.Step(-1); err != nil {
			t.Fatal(err)
		}
	}
	<-done
}
