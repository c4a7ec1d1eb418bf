// Package win32test makes calls that only tests of overlapped I/O make: each can wait, and be cancelled, under Wine too.
package win32test

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Pipes is how many handles of pipes and sockets this process has, of those with a small number. It may wait for synchronous calls on them.
func Pipes() (n int) {
	for h := windows.Handle(4); h < 1<<14; h += 4 {
		if kind, err := windows.GetFileType(h); err == nil && kind == windows.FILE_TYPE_PIPE {
			n++
		}
	}
	return n
}

// Threads is how many threads this process has, 0 if the system does not say.
func Threads() int {
	all, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return 0
	}
	defer windows.CloseHandle(all)
	p := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(all, &p); err == nil; err = windows.Process32Next(all, &p) {
		if p.ProcessID == windows.GetCurrentProcessId() {
			return int(p.Threads)
		}
	}
	return 0
}

// Changes is a buffer for ReadDirectoryChanges, DWORD-aligned.
type Changes []uint32

// Read is ReadDirectoryChangesW of names, without subfolders.
func (c Changes) Read(dir windows.Handle, ov *windows.Overlapped) error {
	b := (*byte)(unsafe.Pointer(unsafe.SliceData(c)))
	return windows.ReadDirectoryChanges(dir, b, uint32(4*len(c)), false, windows.FILE_NOTIFY_CHANGE_FILE_NAME, nil, ov, 0)
}

// Name is that of the first change.
func (c Changes) Name() string {
	info := (*windows.FileNotifyInformation)(unsafe.Pointer(unsafe.SliceData(c)))
	return windows.UTF16ToString(unsafe.Slice(&info.FileName, info.FileNameLength/2))
}

var ntQueryObject = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtQueryObject")

// ObjectType is what kind of object a handle stands for: "File", "IoCompletion", "Event"; empty for none. It waits for nothing, as names and
// the like would.
func ObjectType(h windows.Handle) string {
	const objectTypeInformation = 2
	var info struct {
		name windows.NTUnicodeString
		rest [1024]byte
	}
	status, _, _ := ntQueryObject.Call(uintptr(h), objectTypeInformation, uintptr(unsafe.Pointer(&info)), unsafe.Sizeof(info), 0)
	if status != 0 {
		return ""
	}
	return info.name.String()
}

// Untouched is memory that takes no room before it is touched, until free is called.
func Untouched(size int) (memory []byte, free func(), err error) {
	at, err := windows.VirtualAlloc(0, uintptr(size), windows.MEM_RESERVE|windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return nil, nil, err
	}
	memory = unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), size)
	return memory, func() { windows.VirtualFree(at, 0, windows.MEM_RELEASE) }, nil
}

var (
	kernel32            = windows.NewLazySystemDLL("kernel32.dll")
	procCreateSemaphore = kernel32.NewProc("CreateSemaphoreW")
	procRelease         = kernel32.NewProc("ReleaseSemaphore")
	procSetTimer        = kernel32.NewProc("SetWaitableTimer")
	procFreeConsole     = kernel32.NewProc("FreeConsole")
	procAllocConsole    = kernel32.NewProc("AllocConsole")
	procWriteInput      = kernel32.NewProc("WriteConsoleInputW")
)

// CreateSemaphore makes a semaphore that count waits find free, and at most limit.
func CreateSemaphore(count, limit int32) (windows.Handle, error) {
	h, _, err := procCreateSemaphore.Call(0, uintptr(count), uintptr(limit), 0)
	if h == 0 {
		return 0, err
	}
	return windows.Handle(h), nil
}

// ReleaseSemaphore lets count more waits through.
func ReleaseSemaphore(h windows.Handle, count int32) error {
	if ok, _, err := procRelease.Call(uintptr(h), uintptr(count), 0); ok == 0 {
		return err
	}
	return nil
}

// SetTimer has a waitable timer expire in d, and then every period milliseconds, if that is not 0.
func SetTimer(h windows.Handle, d time.Duration, period int32) error {
	due := -int64(d / 100) // in 100 ns; negative: from now
	if ok, _, err := procSetTimer.Call(uintptr(h), uintptr(unsafe.Pointer(&due)), uintptr(period), 0, 0, 0); ok == 0 {
		return err
	}
	return nil
}

// NewConsole gives this process a console of its own, instead of the one that it may have.
func NewConsole() error {
	procFreeConsole.Call()
	if ok, _, err := procAllocConsole.Call(); ok == 0 {
		return err
	}
	return nil
}

// PressKey has a console's input say that the key of a character was pressed.
func PressKey(console windows.Handle, char rune) error {
	record := struct { // INPUT_RECORD with a KEY_EVENT_RECORD
		kind, _            uint16
		down               int32
		repeat, code, scan uint16
		char               uint16
		control            uint32
	}{kind: 1, down: 1, repeat: 1, char: uint16(char)}
	var n uint32
	if ok, _, err := procWriteInput.Call(uintptr(console), uintptr(unsafe.Pointer(&record)), 1, uintptr(unsafe.Pointer(&n))); ok == 0 {
		return err
	}
	return nil
}
