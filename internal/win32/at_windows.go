package win32

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// Calls on names that are relative to an open directory: whoever renames it meanwhile, or puts another in its place, doesn't matter.
// Only the native calls have them.

// createOptions are what CreateFile's FILE_FLAG_* are to NtCreateFile.
var createOptions = []struct{ flag, option uint32 }{
	{windows.FILE_FLAG_WRITE_THROUGH, windows.FILE_WRITE_THROUGH},
	{windows.FILE_FLAG_NO_BUFFERING, windows.FILE_NO_INTERMEDIATE_BUFFERING},
	{windows.FILE_FLAG_RANDOM_ACCESS, windows.FILE_RANDOM_ACCESS},
	{windows.FILE_FLAG_SEQUENTIAL_SCAN, windows.FILE_SEQUENTIAL_ONLY},
	{windows.FILE_FLAG_DELETE_ON_CLOSE, windows.FILE_DELETE_ON_CLOSE},
	{windows.FILE_FLAG_BACKUP_SEMANTICS, windows.FILE_OPEN_FOR_BACKUP_INTENT},
	{windows.FILE_FLAG_OPEN_REPARSE_POINT, windows.FILE_OPEN_REPARSE_POINT},
	{windows.FILE_FLAG_OPEN_NO_RECALL, windows.FILE_OPEN_NO_RECALL},
	{windows.FILE_FLAG_SESSION_AWARE, fileSessionAware},
}

const fileSessionAware = 0x00040000 // FILE_SESSION_AWARE

var dispositions = map[uint32]uint32{
	windows.CREATE_NEW: windows.FILE_CREATE, windows.OPEN_EXISTING: windows.FILE_OPEN, windows.OPEN_ALWAYS: windows.FILE_OPEN_IF,
}

// CreateFileAt is CreateFile for a name in the directory root, in backslashes, without "." and ".."; an empty one is root itself.
// Disposition is CREATE_NEW, OPEN_EXISTING or OPEN_ALWAYS, and flags are attributes and FILE_FLAG_*, as CreateFile has them.
func CreateFileAt(root windows.Handle, name string, access, share, disposition, flags uint32) (windows.Handle, error) {
	options := uint32(0)
	for _, o := range createOptions {
		if flags&o.flag != 0 {
			options |= o.option
		}
	}
	if flags&windows.FILE_FLAG_OVERLAPPED == 0 {
		options |= windows.FILE_SYNCHRONOUS_IO_NONALERT
	}
	if flags&windows.FILE_FLAG_BACKUP_SEMANTICS == 0 {
		options |= windows.FILE_NON_DIRECTORY_FILE
	}
	if flags&windows.FILE_FLAG_DELETE_ON_CLOSE != 0 {
		access |= windows.DELETE
	}
	attributes := uint32(windows.OBJ_CASE_INSENSITIVE)
	if flags&windows.FILE_FLAG_POSIX_SEMANTICS != 0 {
		attributes = 0
	}
	access |= windows.SYNCHRONIZE | windows.FILE_READ_ATTRIBUTES
	h, err := create(root, name, attributes, access, flags&0xffff, share, dispositions[disposition], options)
	if err == windows.STATUS_OBJECT_NAME_COLLISION {
		return 0, windows.ERROR_FILE_EXISTS // as CreateFile has it
	}
	return h, errno(err)
}

// MkdirAt is CreateDirectory for a name in the directory root.
func MkdirAt(root windows.Handle, name string) error {
	const options = windows.FILE_DIRECTORY_FILE | windows.FILE_SYNCHRONOUS_IO_NONALERT
	h, err := create(root, name, windows.OBJ_CASE_INSENSITIVE, windows.FILE_LIST_DIRECTORY|windows.SYNCHRONIZE, windows.FILE_ATTRIBUTE_NORMAL, ShareAll,
		windows.FILE_CREATE, options)
	if err != nil {
		return errno(err)
	}
	return windows.CloseHandle(h)
}

// create is NtCreateFile, without inheritance.
func create(root windows.Handle, name string, objectAttributes, access, attributes, share, disposition, options uint32) (h windows.Handle, err error) {
	n, err := windows.NewNTUnicodeString(name)
	if err != nil {
		return 0, err
	}
	object := windows.OBJECT_ATTRIBUTES{RootDirectory: root, ObjectName: n, Attributes: objectAttributes}
	object.Length = uint32(unsafe.Sizeof(object))
	var iosb windows.IO_STATUS_BLOCK
	err = windows.NtCreateFile(&h, access, &object, &iosb, nil, attributes, share, disposition, options, 0, 0)
	return h, err
}

// Rename gives the file of h, which needs the right DELETE, the name name in the directory root, or a native one (\??\C:\file) if root is 0. What
// has that name is replaced if that is asked for, even if it is open, where the system can.
func Rename(h, root windows.Handle, name string, replace bool) error {
	const fileRenameInformationEx = 65
	if !replace {
		return setName(h, windows.FileRenameInformation, 0, root, name)
	}
	const flags = windows.FILE_RENAME_REPLACE_IF_EXISTS | windows.FILE_RENAME_POSIX_SEMANTICS
	if setName(h, fileRenameInformationEx, flags, root, name) == nil {
		return nil
	}
	return setName(h, windows.FileRenameInformation, windows.FILE_RENAME_REPLACE_IF_EXISTS, root, name) // FAT, old servers
}

// Link gives the file of h, which needs FILE_WRITE_ATTRIBUTES, one more name, which must be new. Root and name are as in Rename.
func Link(h, root windows.Handle, name string) error {
	const fileLinkInformation = 11
	return setName(h, fileLinkInformation, 0, root, name)
}

// setName sets FILE_RENAME_INFORMATION or FILE_LINK_INFORMATION, which have the same layout.
func setName(h windows.Handle, class, flags uint32, root windows.Handle, name string) error {
	type information struct {
		flags     uint32
		root      windows.Handle
		nameBytes uint32
		name      [1]uint16
	}
	n, err := windows.NewNTUnicodeString(name)
	if err != nil {
		return err
	}
	size := unsafe.Sizeof(information{}) + uintptr(n.Length)
	memory := make([]uintptr, size/unsafe.Sizeof(uintptr(0))+1)
	x := (*information)(unsafe.Pointer(&memory[0]))
	x.flags, x.root, x.nameBytes = flags, root, uint32(n.Length)
	copy(unsafe.Slice(&x.name[0], n.Length/2), n.Slice())
	var iosb windows.IO_STATUS_BLOCK
	return errno(windows.NtSetInformationFile(h, &iosb, (*byte)(unsafe.Pointer(x)), uint32(size), class))
}

// Delete removes the name by which h, which needs the right DELETE, was opened: at once, and read-only or not, where the system can; else when the
// last handle is closed, and only if it may be written to.
func Delete(h windows.Handle) error {
	flags := uint32(windows.FILE_DISPOSITION_DELETE | windows.FILE_DISPOSITION_POSIX_SEMANTICS | windows.FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE |
		windows.FILE_DISPOSITION_FORCE_IMAGE_SECTION_CHECK)
	var iosb windows.IO_STATUS_BLOCK
	err := windows.NtSetInformationFile(h, &iosb, (*byte)(unsafe.Pointer(&flags)), 4, windows.FileDispositionInformationEx)
	switch err {
	case windows.STATUS_INVALID_INFO_CLASS, windows.STATUS_INVALID_PARAMETER, windows.STATUS_NOT_SUPPORTED, windows.STATUS_NOT_IMPLEMENTED:
		return DeleteOnClose(h)
	}
	return errno(err)
}

// DeleteOnClose is what Delete does where the system can't do better: FAT, old servers, Windows before 10.
func DeleteOnClose(h windows.Handle) error {
	remove := byte(1)
	var iosb windows.IO_STATUS_BLOCK
	return errno(windows.NtSetInformationFile(h, &iosb, &remove, 1, windows.FileDispositionInformation))
}

// SetAttributes changes the FILE_ATTRIBUTE_* of h, which needs FILE_WRITE_ATTRIBUTES.
func SetAttributes(h windows.Handle, attributes uint32) error {
	return SetBasic(h, Basic{Attributes: attributes | windows.FILE_ATTRIBUTE_NORMAL})
}
