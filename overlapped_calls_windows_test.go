package ringport

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Calls that take an OVERLAPPED, other than this package's own, by way of Overlapped.

// fsControl is NtFsControlFile, as kernel32 makes it for an OVERLAPPED. DeviceIoControl reaches file systems for codes of
// FILE_DEVICE_FILE_SYSTEM only, and so not that of pipes.
func fsControl(h Handle, code uint32, in, out []byte, ov *windows.Overlapped) Started {
	context := ov // what the packet brings back; none comes if the low bit of the event is set
	if ov.HEvent&1 != 0 {
		context = nil
	}
	ov.Internal = uintptr(windows.STATUS_PENDING)
	r, _, _ := ntFsControlFile.Call(uintptr(h), uintptr(ov.HEvent), 0, uintptr(unsafe.Pointer(context)), uintptr(unsafe.Pointer(ov)), uintptr(code),
		uintptr(unsafe.Pointer(unsafe.SliceData(in))), uintptr(len(in)), uintptr(unsafe.Pointer(unsafe.SliceData(out))), uintptr(len(out)))
	switch status := windows.NTStatus(r); {
	case status == windows.STATUS_PENDING:
		return Pending()
	case int32(status) < 0:
		return Failed(status)
	}
	return Done(int(ov.InternalHigh))
}

var ntFsControlFile = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtFsControlFile")

// pipeWaiting is an operation that waits for an instance of a pipe, as WaitNamedPipe does. H is the pipes' own file system.
func pipeWaiting(h Handle, name string) Op {
	const forever = -1 << 63 // FILE_PIPE_WAIT_FOR_BUFFER: Timeout, NameLength, TimeoutSpecified, Name
	utf16 := windows.StringToUTF16(name)
	utf16 = utf16[:len(utf16)-1]
	in := make([]byte, 14+2*len(utf16))
	*(*int64)(unsafe.Pointer(&in[0])) = forever
	*(*uint32)(unsafe.Pointer(&in[8])) = uint32(2 * len(utf16))
	in[12] = 1
	for i, c := range utf16 {
		in[14+2*i], in[15+2*i] = byte(c), byte(c>>8)
	}
	return Overlapped("FSCTL_PIPE_WAIT", h, 0, func(ov *windows.Overlapped) Started {
		return fsControl(h, windows.FSCTL_PIPE_WAIT, in, nil, ov)
	})
}

// TestOverlapped_PipeWait: it is cancelled while it waits, and ends when an instance listens again.
func TestOverlapped_PipeWait(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		root, _ := windows.UTF16PtrFromString(`\\.\pipe\`)
		const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE
		pipes, err := windows.CreateFile(root, windows.GENERIC_READ, share, nil, windows.OPEN_EXISTING, s.flags(), 0)
		if err != nil {
			t.Fatal(err)
		}
		h := s.attach(t, m, pipes)
		server, name := s.server(t, m)
		client := s.dial(t, m, name)
		op := pipeWaiting(h, filepath.Base(name))
		for range 3 {
			cancelled(t, m, &op)
		}
		connect := ConnectPipe(server)
		n, err := meanwhile(t, m, &op, func() {
			does(t, m, closing(client), 0, nil)
			does(t, m, ref(DisconnectPipe(server)), 0, nil)
			if err := m.Start(&connect, func(*Op) {}); err != nil {
				t.Error(err)
			}
		})
		expectResult(t, 0, nil)(n, err)
		s.dial(t, m, name)
	})
}

// TestOverlapped_PipePeek: a call with output that is over at once.
func TestOverlapped_PipePeek(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		server, client := s.pair(t, m)
		does(t, m, ref(Write(client, []byte("data"), CurrentOffset)), 4, nil)
		const headBytes = 16 // FILE_PIPE_PEEK_BUFFER: NamedPipeState, ReadDataAvailable, NumberOfMessages, MessageLength, Data
		out := make([]byte, headBytes+4)
		op := Overlapped("FSCTL_PIPE_PEEK", server, 0, func(ov *windows.Overlapped) Started {
			return fsControl(server, windows.FSCTL_PIPE_PEEK, nil, out, ov)
		})
		for range 3 {
			does(t, m, &op, len(out), nil)
			if string(out[headBytes:]) != "data" {
				t.Errorf("%q", out)
			}
			clear(out)
		}
	})
}

// afdPoll is AFD_POLL_INFO with one handle.
type afdPoll struct {
	timeout   int64
	handles   uint32
	exclusive uint32
	handle    windows.Handle
	events    uint32
	status    int32
}

const (
	ioctlAFDPoll   = 0x12024
	afdPollReceive = 1
	afdPollSend    = 4
)

// openAFD opens the sockets' own device, and a socket.
func openAFD(t *testing.T, synchronous bool) (device, socket windows.Handle) {
	t.Helper()
	name, err := windows.NewNTUnicodeString(`\Device\Afd\ringport`)
	if err != nil {
		t.Fatal(err)
	}
	attributes := &windows.OBJECT_ATTRIBUTES{Length: uint32(unsafe.Sizeof(windows.OBJECT_ATTRIBUTES{})), ObjectName: name}
	options := uint32(0)
	if synchronous {
		options = windows.FILE_SYNCHRONOUS_IO_NONALERT
	}
	var status windows.IO_STATUS_BLOCK
	err = windows.NtCreateFile(&device, windows.SYNCHRONIZE, attributes, &status, nil, 0, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE,
		windows.FILE_OPEN, options, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var data windows.WSAData
	if err := windows.WSAStartup(0x202, &data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { windows.WSACleanup() })
	socket, err = windows.WSASocket(windows.AF_INET, windows.SOCK_DGRAM, 0, nil, 0, windows.WSA_FLAG_OVERLAPPED)
	if err == nil {
		err = windows.Bind(socket, &windows.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { windows.Closesocket(socket) })
	return device, socket
}

// TestOverlapped_AFDPoll: DeviceIoControl with input and output, that is over at once, or waits and is cancelled.
func TestOverlapped_AFDPoll(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		device, socket := openAFD(t, s.synchronous)
		h := s.attach(t, m, device)
		poll := &afdPoll{}
		const size = uint32(unsafe.Sizeof(afdPoll{}))
		op := Overlapped("DeviceIoControl", h, 0, func(ov *windows.Overlapped) Started {
			b := (*byte)(unsafe.Pointer(poll))
			return Unchecked(windows.DeviceIoControl(device, ioctlAFDPoll, b, size, b, size, nil, ov))
		})
		for _, events := range []uint32{afdPollSend, afdPollReceive, afdPollSend} {
			*poll = afdPoll{timeout: 1<<63 - 1, handles: 1, handle: socket, events: events}
			if events == afdPollReceive {
				cancelled(t, m, &op)
				continue
			}
			n, err := m.Do(context.Background(), &op)
			if n != int(size) || err != nil || poll.events != events {
				t.Errorf("%d, %v, events %#x", n, err, poll.events)
			}
		}
	})
}

// lockedFile is a file, opened twice.
func lockedFile(t *testing.T, m *Manager, s pipeSort) (one, two Handle) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	var hs [2]Handle
	for i := range hs {
		name, err := windows.UTF16PtrFromString(path)
		if err != nil {
			t.Fatal(err)
		}
		h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil,
			windows.OPEN_EXISTING, s.flags(), 0)
		if err != nil {
			t.Fatal(err)
		}
		hs[i] = s.attach(t, m, h)
	}
	return hs[0], hs[1]
}

// locking is an operation that locks byte off of a file.
func locking(h Handle, off int64, flags uint32) Op {
	return Overlapped("LockFileEx", h, off, func(ov *windows.Overlapped) Started {
		return Unchecked(windows.LockFileEx(windows.Handle(h), flags|windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, ov))
	})
}

func unlocking(h Handle, off int64) Op {
	return Overlapped("UnlockFileEx", h, off, func(ov *windows.Overlapped) Started {
		if err := windows.UnlockFileEx(windows.Handle(h), 0, 1, 0, ov); err != nil {
			return Failed(err)
		}
		return Done(0)
	})
}

// TestOverlapped_LockFileEx: a lock that is free is had at once, at its offset; one that is not is refused to who won't wait.
func TestOverlapped_LockFileEx(t *testing.T) {
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		one, two := lockedFile(t, m, s)
		const refused = windows.LOCKFILE_FAIL_IMMEDIATELY
		for _, off := range []int64{0, 7, 1 << 40} {
			does(t, m, ref(locking(one, off, 0)), 0, nil)
			does(t, m, ref(locking(two, off, refused)), 0, windows.ERROR_LOCK_VIOLATION)
			does(t, m, ref(locking(two, off+1, refused)), 0, nil)
			does(t, m, ref(unlocking(two, off+1)), 0, nil)
			does(t, m, ref(unlocking(one, off)), 0, nil)
		}
	})
}

// TestOverlapped_ContendedLockOnlyOnWindows: it is waited for, cancelled, and had when the other lets go.
func TestOverlapped_ContendedLockOnlyOnWindows(t *testing.T) {
	onlyOnWindows(t, "a contended LockFileEx never completes, and can't be cancelled")
	onPipes(t, false, func(t *testing.T, m *Manager, s pipeSort) {
		one, two := lockedFile(t, m, s)
		does(t, m, ref(locking(one, 0, 0)), 0, nil)
		op := locking(two, 0, 0)
		cancelled(t, m, &op)
		expectResult(t, 0, nil)(meanwhile(t, m, &op, func() { does(t, m, ref(unlocking(one, 0)), 0, nil) }))
		does(t, m, ref(unlocking(two, 0)), 0, nil)
	})
}

// TestHazard30OverflowIsNoBytes: changes that did not fit into the buffer are reported as a success without bytes, and the next call reports
// the next changes.
func TestHazard30OverflowIsNoBytes(t *testing.T) {
	bothWays(t, func(t *testing.T, m *Manager) {
		dir := t.TempDir()
		name, err := windows.UTF16PtrFromString(dir)
		if err != nil {
			t.Fatal(err)
		}
		const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
		d, err := windows.CreateFile(name, windows.FILE_LIST_DIRECTORY, share, nil, windows.OPEN_EXISTING,
			windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OVERLAPPED, 0)
		if err != nil {
			t.Fatal(err)
		}
		h := pipeSort{}.attach(t, m, d)
		buf := new([8]uint32) // DWORD-aligned; it takes one short name
		op := Overlapped("ReadDirectoryChanges", h, 0, func(ov *windows.Overlapped) Started {
			return Unchecked(windows.ReadDirectoryChanges(d, (*byte)(unsafe.Pointer(buf)), uint32(unsafe.Sizeof(*buf)), false,
				windows.FILE_NOTIFY_CHANGE_FILE_NAME, nil, ov, 0))
		})
		create := func(name string) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				t.Error(err)
			}
		}
		for range 2 {
			expectResult(t, 0, nil)(meanwhile(t, m, &op, func() { create("a name that is longer than the buffer") }))
			os.Remove(filepath.Join(dir, "a name that is longer than the buffer"))
			expectResult(t, 0, nil)(m.Do(context.Background(), &op))
		}
		n, err := meanwhile(t, m, &op, func() { create("new") })
		info := (*windows.FileNotifyInformation)(unsafe.Pointer(buf))
		if err != nil || n == 0 || windows.UTF16ToString(unsafe.Slice(&info.FileName, info.FileNameLength/2)) != "new" {
			t.Errorf("%d, %v, %v", n, err, info)
		}
	})
}

// onlyOnWindows skips a test that Wine can't pass. Its name says so, and docs/semantics.md lists it.
func onlyOnWindows(t *testing.T, wine string) {
	t.Helper()
	if underWine() {
		t.Skip("only Windows can show this; on Wine " + wine)
	}
}

func underWine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}
