package win32

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// query32 asks NtQueryInformationFile for a class whose answer is one 32-bit number. Rule: the system writes to answer and iosb
// only while the call runs, since none of these classes is answered later.
func query32(h windows.Handle, class uint32) (uint32, error) {
	var iosb windows.IO_STATUS_BLOCK
	var answer uint32
	err := windows.NtQueryInformationFile(h, &iosb, (*byte)(unsafe.Pointer(&answer)), uint32(unsafe.Sizeof(answer)), class)
	return answer, errno(err)
}

// ShareAll lets everybody do anything with a file while it is open.
const ShareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// Open is CreateFile of path with ShareAll. Flags are FILE_FLAG_* and attributes.
func Open(path string, access, disposition, flags uint32) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return windows.InvalidHandle, err
	}
	return windows.CreateFile(name, access, ShareAll, nil, disposition, flags, 0)
}

// IsOpen is ERROR_INVALID_HANDLE for what is not an open handle, and else nil. It never waits.
func IsOpen(h windows.Handle) error {
	var flags uint32
	return getHandleInformation(h, &flags)
}

// Position is the file object's own position, which overlapped transfers neither use nor move. It is what SetFilePointerEx asks for.
func Position(h windows.Handle) (off int64, err error) {
	var iosb windows.IO_STATUS_BLOCK
	err = windows.NtQueryInformationFile(h, &iosb, (*byte)(unsafe.Pointer(&off)), uint32(unsafe.Sizeof(off)), windows.FilePositionInformation)
	return off, errno(err)
}

// SetPosition sets the file object's own position, on overlapped handles too.
func SetPosition(h windows.Handle, off int64) error {
	var iosb windows.IO_STATUS_BLOCK
	return errno(windows.NtSetInformationFile(h, &iosb, (*byte)(unsafe.Pointer(&off)), uint32(unsafe.Sizeof(off)), windows.FilePositionInformation))
}

// errno is an NTSTATUS as the rest of the system reports it.
func errno(err error) error {
	if s, ok := err.(windows.NTStatus); ok {
		return s.Errno()
	}
	return err
}

// Extra is what GetFileInformationByHandle leaves out: FILE_BASIC_INFO and FILE_STANDARD_INFO.
type Extra struct {
	ChangeTime      windows.Filetime
	AllocationBytes int64
}

// Basic is FILE_BASIC_INFO.
type Basic struct {
	Created, Accessed, Written, Changed windows.Filetime
	Attributes                          uint32
	_                                   uint32
}

// SetBasic sets the times that are not zero, and the attributes if these are not.
func SetBasic(h windows.Handle, b Basic) error {
	return windows.SetFileInformationByHandle(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&b)), uint32(unsafe.Sizeof(b)))
}

// QueryExtra asks for both. Rule: each struct has the layout of the class that it is asked with, and the calls return when they are
// filled in.
func QueryExtra(h windows.Handle) (x Extra, err error) {
	var basic Basic
	var standard struct {
		AllocationSize, EndOfFile int64
		Links                     uint32
		DeletePending, Directory  bool
		_                         [2]byte
	}
	err = windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)), uint32(unsafe.Sizeof(basic)))
	if err != nil {
		return x, err
	}
	err = windows.GetFileInformationByHandleEx(h, windows.FileStandardInfo, (*byte)(unsafe.Pointer(&standard)), uint32(unsafe.Sizeof(standard)))
	return Extra{basic.Changed, standard.AllocationSize}, err
}

// Detach takes h from its completion port: FileReplaceCompletionInformation with no port. Windows 8.1 and later can, if nothing is in
// flight on h.
func Detach(h windows.Handle) error {
	const fileReplaceCompletionInformation = 61
	var none struct{ port, key uintptr }
	var iosb windows.IO_STATUS_BLOCK
	return errno(windows.NtSetInformationFile(h, &iosb, (*byte)(unsafe.Pointer(&none)), uint32(unsafe.Sizeof(none)), fileReplaceCompletionInformation))
}

// ReparseTag is what kind of reparse point h is: FILE_ATTRIBUTE_TAG_INFO. Rule: as in QueryExtra.
func ReparseTag(h windows.Handle) (uint32, error) {
	var info struct{ Attributes, Tag uint32 }
	err := windows.GetFileInformationByHandleEx(h, windows.FileAttributeTagInfo, (*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	return info.Tag, err
}
