package ringport

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
	"github.com/ringport/ringport/internal/win32/win32test"
)

// What the system answers, by what it means.
const (
	errFault       = windows.ERROR_NOACCESS
	errBrokenPipe  = windows.ERROR_NO_DATA
	errNotAllowed  = windows.ERROR_ACCESS_DENIED // a transfer that the handle was not opened for
	errNotThere    = windows.ERROR_FILE_NOT_FOUND
	errFileThere   = windows.ERROR_FILE_EXISTS
	errFolderThere = windows.ERROR_ALREADY_EXISTS
	errThroughFile = windows.ERROR_PATH_NOT_FOUND
	errLongPath    = windows.ERROR_PATH_NOT_FOUND
	errSeekBefore  = windows.ERROR_NEGATIVE_SEEK

	errNotSocket    = windows.WSAENOTSOCK
	errBadAddress   = windows.WSAEINVAL
	errNoUnixSocket = windows.WSAECONNREFUSED
)

// What sockets have.
const (
	msgWaitAll = windows.MSG_WAITALL
	noSignal   = 0
	soType     = 0x1008
)

// hasUnixSockets: Wine has none. See docs/semantics.md.
var hasUnixSockets = !wine

// What Wine answers otherwise: MSDN and [MS-FSCC] have it that a file's end needs FILE_WRITE_DATA, and [MS-FSA] that a name is too long to be one.
var (
	errCutReadOnly = onWine(windows.ERROR_INVALID_PARAMETER, windows.ERROR_ACCESS_DENIED)
	errCutPipe     = onWine(windows.ERROR_INVALID_HANDLE, windows.ERROR_INVALID_PARAMETER)
	errLongName    = onWine(windows.ERROR_FILE_NOT_FOUND, windows.ERROR_INVALID_NAME)
)

// errSyncPipe is none: a flush of a pipe waits until it is empty.
var errSyncPipe error

var wine = win32.UnderWine()

func onWine(there, elsewhere syscall.Errno) syscall.Errno {
	if wine {
		return there
	}
	return elsewhere
}

// pollsRoom: an operation can wait for room in a pipe. See PollReady.
const pollsRoom = false

// scaled is how often a test does what it does n times where system calls are cheap: under Wine each goes through a server.
func scaled(n int) int {
	if wine {
		return n / 5
	}
	return n
}

// directShows: what a handle tells of itself includes that it is direct.
const directShows = true

var pipes atomic.Int64

// namedPipe makes a pipe, empty and overlapped. Access is what the first end may do.
func namedPipe(access uint32) (server, client Handle, err error) {
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`\\.\pipe\ringport-test-%d-%d`, os.Getpid(), pipes.Add(1)))
	if err != nil {
		return 0, 0, err
	}
	const quota = 1 << 16
	s, err := windows.CreateNamedPipe(name, access|windows.FILE_FLAG_OVERLAPPED, windows.PIPE_TYPE_BYTE, 1, quota, quota, 0, nil)
	if err != nil {
		return 0, 0, err
	}
	rights := uint32(windows.GENERIC_WRITE)
	if access == windows.PIPE_ACCESS_DUPLEX {
		rights |= windows.GENERIC_READ
	}
	c, err := windows.CreateFile(name, rights, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		windows.CloseHandle(s)
	}
	return Handle(s), Handle(c), err
}

func newPipe() (r, w Handle, err error) { return namedPipe(windows.PIPE_ACCESS_INBOUND) }

// newDuplex makes two ends that both read and write.
func newDuplex() (a, b Handle, err error) { return namedPipe(windows.PIPE_ACCESS_DUPLEX) }

// newAnonymousPipe is a pipe as CreatePipe makes them: never overlapped.
func newAnonymousPipe() (r, w Handle, err error) {
	var in, out windows.Handle
	err = windows.CreatePipe(&in, &out, nil, 4096)
	return Handle(in), Handle(out), err
}

// ownHandle is a handle of f's file for the operations of m, overlapped. The caller closes it by closeOwn.
func ownHandle(t testing.TB, m *Manager, f *os.File) Handle {
	t.Helper()
	name, err := windows.UTF16PtrFromString(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, share, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, m, Handle(h))
	return Handle(h)
}

func closeOwn(h Handle) { closeRaw(h) }

// otherMode makes h ready for m, in another mode than usual if other is true: m's threads wait for it.
func otherMode(m *Manager, h Handle, other bool) error {
	if other {
		return nil
	}
	return m.Attach(h)
}

// newDoor is what can be opened: an open does not wait here.
func newDoor(t testing.TB) (name string) { return named(t, nil) }

// closeRaw closes a socket by the call that is for those.
func closeRaw(h Handle) error {
	if err := windows.Closesocket(windows.Handle(h)); err != windows.WSAENOTSOCK && err != windows.WSANOTINITIALISED {
		return err
	}
	return windows.CloseHandle(windows.Handle(h))
}

// isOpen reports whether h is an open handle.
func isOpen(h uintptr) bool { return win32.IsOpen(windows.Handle(h)) == nil }

// modesOf is what others who share h would notice if it changed.
func modesOf(h uintptr) (int, error) {
	mode, err := win32.Mode(windows.Handle(h))
	return int(mode), err
}

func dup(t testing.TB, h Handle) Handle {
	t.Helper()
	var again windows.Handle
	self := windows.CurrentProcess()
	if err := windows.DuplicateHandle(self, windows.Handle(h), self, &again, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		t.Fatal(err)
	}
	return Handle(again)
}

// pastPort makes one overlapped call past every manager, and waits for it, or else takes it back if it does not end at once. The low bit of
// its event keeps the completion away from whatever port the handle is on. On a handle that is not overlapped the call itself waits.
func pastPort(h Handle, p []byte, wait bool, call func(windows.Handle, *byte, uint32, *uint32, *windows.Overlapped) error) (int, error) {
	pooled := pastEvents.Get().(*windows.Handle)
	defer pastEvents.Put(pooled)
	event := *pooled
	windows.ResetEvent(event)
	// The system uses both when the call has returned, so they must not be on a stack, which moves.
	c := &pastCall{windows.Overlapped{HEvent: event | 1}, append(make([]byte, 0, len(p)+1), p...)}
	pastCalls.Store(event, c)
	defer pastCalls.Delete(event)
	var n uint32
	err := call(windows.Handle(h), &c.buf[:1][0], uint32(len(p)), nil, &c.o)
	if err == windows.ERROR_IO_PENDING {
		if !wait {
			windows.CancelIoEx(windows.Handle(h), &c.o)
		}
		err = nil
	}
	if err == nil {
		_, err = windows.WaitForSingleObject(event, windows.INFINITE)
		if err == nil {
			err = windows.GetOverlappedResult(windows.Handle(h), &c.o, &n, false)
		}
	}
	if err == windows.ERROR_OPERATION_ABORTED && !wait || err == windows.ERROR_BROKEN_PIPE {
		err = nil
	}
	return copy(p, c.buf[:n]), err
}

type pastCall struct {
	o   windows.Overlapped
	buf []byte
}

var (
	pastCalls  sync.Map // those under way
	pastEvents = sync.Pool{New: func() any {
		event, err := windows.CreateEvent(nil, 1, 0, nil)
		if err != nil {
			panic(err)
		}
		return &event // for good
	}}
)

// rawRead and rawWrite go past every manager.
func rawRead(h Handle, p []byte) (int, error) { return pastPort(h, p, true, win32.ReadFile) }

func rawWrite(h Handle, p []byte) (int, error) { return pastPort(h, p, true, win32.WriteFile) }

// tryRead and tryWrite are those without a wait; nothing moves if they would have to.
func tryRead(h Handle, p []byte) (int, error) {
	if isEmpty(h) { // most often, and the cheapest to ask
		return 0, nil
	}
	return pastPort(h, p, false, win32.ReadFile)
}

func tryWrite(h Handle, p []byte) (int, error) { return pastPort(h, p, false, win32.WriteFile) }

// isEmpty reports whether a read of a pipe would wait.
func isEmpty(h Handle) bool {
	var available uint32
	return win32.PeekNamedPipe(windows.Handle(h), nil, 0, nil, &available, nil) == nil && available == 0
}

// waitReadable waits for a manager's handle, no longer than limit.
func waitReadable(t testing.TB, h Handle, limit time.Duration) bool {
	t.Helper()
	event, err := windows.WaitForSingleObject(windows.Handle(h), uint32((limit+time.Millisecond-1)/time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return event == windows.WAIT_OBJECT_0
}

// untouched is memory that takes no room before it is touched.
func untouched(t testing.TB, size int) []byte {
	t.Helper()
	memory, free, err := win32test.Untouched(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return memory
}

// warmUp makes the runtime open the completion port that it keeps for good.
func warmUp() {
	r, w, err := newPipe()
	if err != nil {
		panic(err)
	}
	os.NewFile(uintptr(r), "pipe").Close()
	closeRaw(w)
}

// descriptors are this process's files and completion ports. The Go runtime has handles of other kinds for each of its threads.
func descriptors() map[string]string {
	all := map[string]string{}
	for h := uintptr(4); h < 1<<14; h += 4 {
		if kind := win32test.ObjectType(windows.Handle(h)); kind == "File" || kind == "IoCompletion" {
			all[fmt.Sprintf("%#x", h)] = kind
		}
	}
	return all
}

// strangeDescriptors counts them: one that is closed and one that is opened may have one number.
func strangeDescriptors(before map[string]string) error {
	now := descriptors()
	for _, kind := range []string{"File", "IoCompletion"} {
		was, is := count(before, kind), count(now, kind)
		if is > was {
			return fmt.Errorf("%d more %s handles than the %d before", is-was, kind, was)
		}
	}
	return nil
}

func count(all map[string]string, kind string) (n int) {
	for _, k := range all {
		if k == kind {
			n++
		}
	}
	return n
}

// streams are pipes of all sorts: overlapped, both ways, and those that threads have to wait for.
func streams() []stream {
	return []stream{
		{"pipe", pipeStream},
		{"duplex pipe", duplexStream},
		{"anonymous pipe", func(t *testing.T, m *Manager) (*File, func(string)) {
			r, w, err := newAnonymousPipe()
			if err != nil {
				t.Fatal(err)
			}
			return adopted(t, m, r, "pipe"), feedTo(t, adopted(t, m, w, "pipe"))
		}},
		{"pipe of another port", func(t *testing.T, m *Manager) (*File, func(string)) {
			r, w, err := newPipe()
			if err != nil {
				t.Fatal(err)
			}
			attach(t, open(t, Config{}), r)
			return adopted(t, m, r, "pipe"), feedTo(t, adopted(t, m, w, "pipe"))
		}},
	}
}
