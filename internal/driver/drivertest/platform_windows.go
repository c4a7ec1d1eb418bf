package drivertest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

func platformTests() []test {
	return slices.Concat(rwTests, handleTests, syncTests, pathTests, waitTests, signalTests)
}

// openHandles: Windows has no list of a process's own handles that tells ours from the runtime's. Goroutines are counted.
func openHandles() map[int]string { return nil }

func warmUp(*testing.T) {}

// closeHandle closes a socket by the call that is for those.
func closeHandle(h driver.Handle) error {
	if err := windows.Closesocket(windows.Handle(h)); err != windows.WSAENOTSOCK && err != windows.WSANOTINITIALISED {
		return err
	}
	return windows.CloseHandle(windows.Handle(h))
}

// openFile opens path, overlapped, for the driver. Flags may have FILE_FLAG_NO_BUFFERING beside those of package os.
func (f *fixture) openFile(path string, flags int) driver.Handle {
	f.Helper()
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		f.Fatal(err)
	}
	access := uint32(windows.GENERIC_READ)
	switch {
	case flags&os.O_APPEND != 0:
		access = windows.FILE_APPEND_DATA | windows.SYNCHRONIZE
	case flags&(os.O_WRONLY|os.O_RDWR) == os.O_RDWR:
		access |= windows.GENERIC_WRITE
	case flags&os.O_WRONLY != 0:
		access = windows.GENERIC_WRITE
	}
	h, err := windows.CreateFile(name, access, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED|uint32(flags)&windows.FILE_FLAG_NO_BUFFERING, 0)
	if err != nil {
		f.Fatalf("open %s: %v", path, err)
	}
	return f.keep(driver.Handle(h))
}

var pipes atomic.Int64

// pipe makes a pipe for the driver, empty and overlapped.
func (f *fixture) pipe() (r, w driver.Handle) {
	f.Helper()
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`\\.\pipe\drivertest-%d-%d`, os.Getpid(), pipes.Add(1)))
	if err != nil {
		f.Fatal(err)
	}
	const bufferBytes = 1 << 16
	in, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_INBOUND|windows.FILE_FLAG_OVERLAPPED, windows.PIPE_TYPE_BYTE, 1,
		bufferBytes, bufferBytes, 0, nil)
	if err != nil {
		f.Fatal(err)
	}
	out, err := windows.CreateFile(name, windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		windows.CloseHandle(in)
		f.Fatal(err)
	}
	return f.keep(driver.Handle(in)), f.keep(driver.Handle(out))
}

// put writes to a pipe past the driver. It may be called from any goroutine.
func put(h driver.Handle, content string) error {
	b := make([]byte, len(content)) // on the heap, since its size is not constant: the call goes on when WriteFile has returned
	copy(b, content)
	_, err := pastPort(h, func(o *windows.Overlapped) error {
		var n uint32
		return windows.WriteFile(windows.Handle(h), b, &n, o)
	})
	runtime.KeepAlive(b)
	return err
}

// take reads from a pipe past the driver; it returns nothing at the end.
func take(h driver.Handle, bytes int) (string, error) {
	b := make([]byte, bytes)
	n, err := pastPort(h, func(o *windows.Overlapped) error {
		var n uint32
		return windows.ReadFile(windows.Handle(h), b, &n, o)
	})
	if err == windows.ERROR_BROKEN_PIPE {
		err = nil
	}
	return string(b[:n]), err
}

// pastPort carries out one overlapped call and waits for it. The low bit of its event keeps the completion away from the driver's
// port.
func pastPort(h driver.Handle, call func(*windows.Overlapped) error) (n uint32, err error) {
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return 0, err
	}
	defer windows.CloseHandle(event)
	o := &windows.Overlapped{HEvent: event | 1}
	if err := call(o); err != nil && err != windows.ERROR_IO_PENDING {
		return 0, err
	}
	err = windows.GetOverlappedResult(windows.Handle(h), o, &n, true)
	return n, err
}

// pollsReadable asks whether a foreign loop that waits for h would go on.
func pollsReadable(h driver.Handle) bool {
	signaled, err := windows.WaitForSingleObject(windows.Handle(h), 0)
	return err == nil && signaled == windows.WAIT_OBJECT_0
}
