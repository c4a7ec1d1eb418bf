// Package win32 has the system calls that golang.org/x/sys/windows lacks, or has in a shape that the driver can't use. Each is
// declared in mkwinsyscall's form, with the name and the meaning that MSDN gives it; go generate makes zsyscall_windows.go of
// them.
//
// The addresses that these calls take are only good for the system until they return, unless the call is an overlapped one:
// then whoever makes it keeps the OVERLAPPED and the buffer on the heap, reachable and pinned until the completion.
package win32

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

//go:generate go run golang.org/x/sys/windows/mkwinsyscall -output zsyscall_windows.go win32_windows.go

// CancelSynchronousIo asks that the call which thread is blocked in end with ERROR_OPERATION_ABORTED. It fails with
// ERROR_NOT_FOUND where there is none, or not yet. The handle needs THREAD_TERMINATE.
//
//sys	CancelSynchronousIo(thread windows.Handle) (err error) = kernel32.CancelSynchronousIo

// PeekNamedPipe looks at what a pipe holds without taking it: read bytes into buf, available in all, left of the first message.
// Every address may be nil. It works on anonymous pipes too, and waits behind a synchronous call on the same handle.
//
//sys	PeekNamedPipe(pipe windows.Handle, buf *byte, size uint32, read *uint32, available *uint32, left *uint32) (err error) = kernel32.PeekNamedPipe

//sys	ntFsControlFile(h windows.Handle, event windows.Handle, apc uintptr, context *windows.Overlapped, status *windows.Overlapped, code uint32, in *byte, inBytes uint32, out *byte, outBytes uint32) (ntstatus windows.NTStatus) = ntdll.NtFsControlFile

// ImpersonateNamedPipeClient makes the thread act as the client of pipe, an instance of this process, as far as the client allows, until
// RevertToSelf. It fails with ERROR_CANNOT_IMPERSONATE where the system doesn't know yet who the client is.
//
//sys	ImpersonateNamedPipeClient(pipe windows.Handle) (err error) = advapi32.ImpersonateNamedPipeClient

// TransactNamedPipe writes a message to pipe and reads the answer, as one overlapped call. Done may be nil.
//
//sys	TransactNamedPipe(pipe windows.Handle, write *byte, writeSize uint32, read *byte, readSize uint32, done *uint32, overlapped *windows.Overlapped) (err error) = kernel32.TransactNamedPipe

// ReadFile and WriteFile are those of package windows without their slices: an overlapped call's buffer is named by its address.
// done may be nil if there is an OVERLAPPED, which has the count.
//
//sys	ReadFile(h windows.Handle, buf *byte, size uint32, done *uint32, overlapped *windows.Overlapped) (err error) = kernel32.ReadFile
//sys	WriteFile(h windows.Handle, buf *byte, size uint32, done *uint32, overlapped *windows.Overlapped) (err error) = kernel32.WriteFile

// ReadFileScatter and WriteFileGather transfer whole pages of a file that was opened with FILE_FLAG_NO_BUFFERING and
// FILE_FLAG_OVERLAPPED. Segments is an array of FILE_SEGMENT_ELEMENT: the address of each page, as a 64-bit number, and a zero.
// Reserved must be nil.
//
//sys	ReadFileScatter(h windows.Handle, segments *uint64, size uint32, reserved *uint32, overlapped *windows.Overlapped) (err error) = kernel32.ReadFileScatter
//sys	WriteFileGather(h windows.Handle, segments *uint64, size uint32, reserved *uint32, overlapped *windows.Overlapped) (err error) = kernel32.WriteFileGather

//sys	getHandleInformation(h windows.Handle, flags *uint32) (err error) = kernel32.GetHandleInformation

// ReOpenFile opens what h refers to once more, as a file object of its own, with rights, sharing modes and FILE_FLAG_* of its own.
//
//sys	ReOpenFile(h windows.Handle, access uint32, share uint32, flags uint32) (again windows.Handle, err error) [failretval==windows.InvalidHandle] = kernel32.ReOpenFile

//sys	bind(s windows.Handle, name *byte, nameBytes int32) (err error) [failretval!=0] = ws2_32.bind
//sys	connect(s windows.Handle, name *byte, nameBytes int32) (err error) [failretval!=0] = ws2_32.connect
//sys	getsockname(s windows.Handle, name *byte, nameBytes *int32) (err error) [failretval!=0] = ws2_32.getsockname
//sys	wsaPoll(fds *wsaPollFD, count uint32, milliseconds int32) (n int32, err error) [failretval==-1] = ws2_32.WSAPoll

// QueryPerformanceCounter is the clock with the finest grain, in units of which QueryPerformanceFrequency tells how many make a second. Neither
// fails on a system that Go runs on.
//
//sys	QueryPerformanceCounter(count *int64) (err error) = kernel32.QueryPerformanceCounter
//sys	QueryPerformanceFrequency(perSecond *int64) (err error) = kernel32.QueryPerformanceFrequency

// NtResumeProcess lets all threads of a process run that were suspended once, as the thread of one that was made with CREATE_SUSPENDED is, to
// which package os keeps no handle. The handle needs PROCESS_SUSPEND_RESUME.
//
//sys	NtResumeProcess(process windows.Handle) (ntstatus error) = ntdll.NtResumeProcess

// CreateWaitableTimerEx makes a timer object; with TimerHighResolution, which Windows 10 1803 and later have, one that is not bound to the
// system's tick.
//
//sys	CreateWaitableTimerEx(attributes *windows.SecurityAttributes, name *uint16, flags uint32, access uint32) (timer windows.Handle, err error) = kernel32.CreateWaitableTimerExW

// TimerHighResolution is CREATE_WAITABLE_TIMER_HIGH_RESOLUTION.
const TimerHighResolution = 2

//sys	ntCreateWaitCompletionPacket(packet *windows.Handle, access uint32, attributes *windows.OBJECT_ATTRIBUTES) (ntstatus error) = ntdll.NtCreateWaitCompletionPacket
//sys	ntAssociateWaitCompletionPacket(packet windows.Handle, port windows.Handle, object windows.Handle, key uintptr, overlapped uintptr, status uint32, bytes uintptr, signaled *byte) (ntstatus error) = ntdll.NtAssociateWaitCompletionPacket
//sys	ntCancelWaitCompletionPacket(packet windows.Handle, removeSignaled bool) (status uint32) = ntdll.NtCancelWaitCompletionPacket
//sys	ntQueryObject(h windows.Handle, class uint32, info *objectType, size uint32, needed *uint32) (ntstatus error) = ntdll.NtQueryObject
// SetConsoleCtrlHandler installs a handler of console events, the address of a PHANDLER_ROUTINE, or takes it away. The system holds a lock
// while it calls handlers, which this call wants too.
//
//sys	SetConsoleCtrlHandler(handler uintptr, add bool) (err error) = kernel32.SetConsoleCtrlHandler

// ReadConsole reads UTF-16 from the console's input: a line, or in raw mode what has been typed, at least one character. Where Ctrl-C ends it,
// it succeeds with none.
func ReadConsole(console windows.Handle, buf []uint16, control *ReadConsoleControl) (n int, err error) {
	control.Length = uint32(unsafe.Sizeof(*control))
	var read uint32
	err = readConsole(console, &buf[0], uint32(len(buf)), &read, control)
	return int(read), err
}

// ReadConsoleControl is CONSOLE_READCONSOLE_CONTROL, in characters. InitialChars of the buffer are edited as if they had been typed and
// shown. A control character whose bit is set in CtrlWakeupMask ends the read, and is read.
type ReadConsoleControl struct {
	Length, InitialChars, CtrlWakeupMask, ControlKeyState uint32
}

//sys	readConsole(console windows.Handle, buf *uint16, size uint32, read *uint32, control *ReadConsoleControl) (err error) = kernel32.ReadConsoleW

// InputRecord is INPUT_RECORD as it is for keys. Other events have something else behind Type.
type InputRecord struct {
	Type             uint16 // KeyEvent, …
	_                uint16
	KeyDown          int32 // BOOL
	RepeatCount      uint16
	VirtualKeyCode   uint16
	VirtualScanCode  uint16
	Char             uint16 // UTF-16; 0: a key without a character
	ControlKeyStates uint32
}

// KeyEvent is the Type of a key's record; EndKey is VK_END.
const (
	KeyEvent = 1
	EndKey   = 0x23
)

// WriteConsoleInput puts records at the end of the console's input. The handle needs GENERIC_WRITE.
func WriteConsoleInput(console windows.Handle, records ...InputRecord) error {
	var n uint32
	return writeConsoleInput(console, &records[0], uint32(len(records)), &n)
}

// PeekConsoleInput copies the first records of the console's input into records. It does not wait.
func PeekConsoleInput(console windows.Handle, records []InputRecord) (n int, err error) {
	var read uint32
	err = peekConsoleInput(console, &records[0], uint32(len(records)), &read)
	return int(read), err
}

// ReadConsoleInput moves the first records of the console's input into records, and waits for one if there is none.
func ReadConsoleInput(console windows.Handle, records []InputRecord) (n int, err error) {
	var read uint32
	err = readConsoleInput(console, &records[0], uint32(len(records)), &read)
	return int(read), err
}

//sys	writeConsoleInput(console windows.Handle, records *InputRecord, count uint32, written *uint32) (err error) = kernel32.WriteConsoleInputW
//sys	peekConsoleInput(console windows.Handle, records *InputRecord, size uint32, read *uint32) (err error) = kernel32.PeekConsoleInputW
//sys	readConsoleInput(console windows.Handle, records *InputRecord, size uint32, read *uint32) (err error) = kernel32.ReadConsoleInputW

// MemoryStatus asks for what the system has of memory: GlobalMemoryStatusEx.
func MemoryStatus() (m MemoryStatusEx, err error) {
	m.Length = uint32(unsafe.Sizeof(m))
	return m, globalMemoryStatusEx(&m)
}

//sys	globalMemoryStatusEx(status *MemoryStatusEx) (err error) = kernel32.GlobalMemoryStatusEx

// MemoryStatusEx is MEMORYSTATUSEX, in bytes but for LoadPercent.
type MemoryStatusEx struct {
	Length, LoadPercent              uint32
	TotalPhysical, AvailablePhysical uint64
	TotalPageFile, AvailablePageFile uint64
	TotalVirtual, AvailableVirtual   uint64
	_                                uint64
}

// The names are only there under Wine.
//
//sys	wineGetHostVersion(system *uintptr, release *uintptr) = ntdll.wine_get_host_version
//sys	wineGetVersion() (version uintptr) = ntdll.wine_get_version
//sys	lstrcpyn(to *byte, from uintptr, size int32) (copied uintptr) = kernel32.lstrcpynA

// Information classes for NtQueryInformationFile that package windows doesn't name.
const (
	FileAccessInformation = 8  // uint32: the access mask that the handle was granted
	FileModeInformation   = 16 // uint32: FILE_SYNCHRONOUS_IO_* and others that the file was opened with
)

// Mode asks how the file of h was opened, FILE_SYNCHRONOUS_IO_ALERT and _NONALERT among it. It waits behind a synchronous call on
// the same file object: never call it where that matters.
func Mode(h windows.Handle) (uint32, error) { return query32(h, FileModeInformation) }

// Access asks what h may be used for: FILE_READ_DATA, FILE_APPEND_DATA and so on.
func Access(h windows.Handle) (uint32, error) { return query32(h, FileAccessInformation) }

// IsDirectory reports whether h is a directory's. Any access will do.
func IsDirectory(h windows.Handle) bool {
	var info struct { // FILE_STANDARD_INFO
		allocated, end           int64
		links                    uint32
		deletePending, directory bool
	}
	err := windows.GetFileInformationByHandleEx(h, windows.FileStandardInfo, (*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	return err == nil && info.directory
}

// AppendsOnly reports whether every write through h goes to the end of the file, wherever it is told to go: it may append and not write.
func AppendsOnly(h windows.Handle) bool {
	access, err := Access(h)
	return err == nil && access&(windows.FILE_APPEND_DATA|windows.FILE_WRITE_DATA) == windows.FILE_APPEND_DATA
}
