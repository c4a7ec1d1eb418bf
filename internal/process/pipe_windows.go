package process

import (
	"crypto/rand"
	"os"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver/iocp"
	"github.com/ringport/ringport/internal/win32"
)

// Pipe makes a pipe, of which the child writes (childWrites) or reads the one end, and this process has the other, which is overlapped;
// the child's is not, since few programs could use that. Nobody can guess the name that it needs for a moment, and nobody can come first:
// then the second end fails with ERROR_PIPE_BUSY.
func Pipe(childWrites bool) (ours Handle, childs *os.File, err error) {
	path := `\\.\pipe\ringport-` + rand.Text()
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, nil, err
	}
	access, rights := uint32(windows.PIPE_ACCESS_INBOUND), uint32(windows.GENERIC_WRITE|windows.FILE_READ_ATTRIBUTES)
	if !childWrites {
		access, rights = windows.PIPE_ACCESS_OUTBOUND, windows.GENERIC_READ|windows.FILE_WRITE_ATTRIBUTES
	}
	h, err := windows.CreateNamedPipe(name, access|windows.FILE_FLAG_OVERLAPPED|windows.FILE_FLAG_FIRST_PIPE_INSTANCE,
		windows.PIPE_TYPE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS, 1, PipeBytes, PipeBytes, 0, nil)
	if err != nil {
		return 0, nil, os.NewSyscallError("CreateNamedPipe", err)
	}
	c, err := windows.CreateFile(name, rights, 0, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		windows.CloseHandle(h)
		return 0, nil, os.NewSyscallError("CreateFile", err)
	}
	return Handle(h), os.NewFile(uintptr(c), path), nil
}

// Ready reports whether a read of h, the end of a pipe that nobody else reads, returns at once.
func Ready(h Handle) bool {
	var n uint32
	err := win32.PeekNamedPipe(windows.Handle(h), nil, 0, nil, &n, nil)
	return err != nil || n > 0
}

// Inheritable is h as a file that a child can have; the caller closes it. It can't be one (ok is false) if it is overlapped: the child's
// reads and writes would fail, or not wait.
func Inheritable(h Handle, name string) (f *os.File, ok bool, err error) {
	mode, answers := iocp.Ask(func() uint32 {
		mode, err := win32.Mode(windows.Handle(h))
		if err != nil { // a console: no file of the system's, and synchronous
			return windows.FILE_SYNCHRONOUS_IO_NONALERT
		}
		return mode
	})
	if answers && mode&(windows.FILE_SYNCHRONOUS_IO_ALERT|windows.FILE_SYNCHRONOUS_IO_NONALERT) == 0 {
		return nil, false, nil
	}
	self := windows.CurrentProcess()
	var again windows.Handle
	if err := windows.DuplicateHandle(self, windows.Handle(h), self, &again, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		return nil, false, os.NewSyscallError("DuplicateHandle", err)
	}
	return os.NewFile(uintptr(again), name), true, nil
}
