package win32

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// FsControl is NtFsControlFile, with ov for its event, status and context as kernel32 has it. DeviceIoControl passes only codes of
// FILE_DEVICE_FILE_SYSTEM on to file systems, and so not those of pipes. In, out and ov must stay where they are until the completion.
func FsControl(h windows.Handle, code uint32, in, out []byte, ov *windows.Overlapped) windows.NTStatus {
	context := ov // it posts a packet, unless the event's low bit is set
	if ov.HEvent&1 != 0 {
		context = nil
	}
	ov.Internal = uintptr(windows.STATUS_PENDING)
	return ntFsControlFile(h, ov.HEvent, 0, context, ov, code, unsafe.SliceData(in), uint32(len(in)), unsafe.SliceData(out), uint32(len(out)))
}

// PipeWait is the input of FSCTL_PIPE_WAIT: it waits for an instance of the pipe \\.\pipe\name that listens, and ends with ERROR_SEM_TIMEOUT if
// none does for so long.
func PipeWait(name string, patience time.Duration) ([]byte, error) {
	type waitForBuffer struct { // FILE_PIPE_WAIT_FOR_BUFFER
		timeout          int64
		nameBytes        uint32
		timeoutSpecified bool
		name             uint16
	}
	utf16, err := windows.UTF16FromString(name)
	if err != nil {
		return nil, err
	}
	utf16 = utf16[:len(utf16)-1]
	const headBytes = int(unsafe.Offsetof(waitForBuffer{}.name))
	in := make([]byte, headBytes+2*len(utf16)+8)
	head := (*waitForBuffer)(unsafe.Pointer(unsafe.SliceData(in)))
	head.timeout, head.nameBytes, head.timeoutSpecified = -int64(patience/100), uint32(2*len(utf16)), true // units of 100 ns
	copy(unsafe.Slice(&head.name, len(utf16)), utf16)
	return in[:headBytes+2*len(utf16)], nil
}

// PipeInstance says which instance of a named pipe is to be made.
type PipeInstance struct {
	Name                    string                       // what follows \\.\pipe\
	First                   bool                         // there must be no pipe of that name; else there must be one
	Messages                bool                         // of messages, that are read as such; else of bytes
	InputBytes, OutputBytes uint32                       // quotas
	Security                *windows.SECURITY_DESCRIPTOR // of the first
}

// Make makes the instance, for reading and writing, overlapped, for clients of this machine. It listens. CreateNamedPipe doesn't say
// of a further instance that there must be a pipe, and Wine's takes an existing pipe for a first instance. See NtCreateNamedPipeFile.
func (p *PipeInstance) Make() (windows.Handle, error) {
	name, err := windows.NewNTUnicodeString(`\??\pipe\` + p.Name)
	if err != nil {
		return 0, err
	}
	attributes := &windows.OBJECT_ATTRIBUTES{ObjectName: name, Attributes: windows.OBJ_CASE_INSENSITIVE, SecurityDescriptor: p.Security}
	attributes.Length = uint32(unsafe.Sizeof(*attributes))
	disposition := uint32(windows.FILE_OPEN)
	if p.First {
		disposition = windows.FILE_CREATE
	}
	kind, mode := uint32(windows.FILE_PIPE_REJECT_REMOTE_CLIENTS), uint32(windows.FILE_PIPE_BYTE_STREAM_MODE)
	if UnderWine() { // which takes any kind but 0 for messages, and has no remote clients
		kind = windows.FILE_PIPE_BYTE_STREAM_TYPE
	}
	if p.Messages {
		kind |= windows.FILE_PIPE_MESSAGE_TYPE
		mode = windows.FILE_PIPE_MESSAGE_MODE
	}
	const (
		access    = windows.GENERIC_READ | windows.GENERIC_WRITE | windows.SYNCHRONIZE
		share     = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE
		unlimited = 1<<32 - 1 // instances
	)
	patience := int64(-50 * 10_000) // 50 ms, in units of 100 ns: what WaitNamedPipe waits by default
	var h windows.Handle
	var status windows.IO_STATUS_BLOCK
	err = windows.NtCreateNamedPipeFile(&h, access, attributes, &status, share, disposition, 0, kind, mode,
		windows.FILE_PIPE_QUEUE_OPERATION, unlimited, p.InputBytes, p.OutputBytes, &patience)
	if status, ok := err.(windows.NTStatus); ok {
		err = status.Errno()
	}
	return h, err
}
