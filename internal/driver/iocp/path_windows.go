package iocp

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// Flags of path requests: their values on Linux, since Windows has none for what they mean.
const (
	atSymlinkNofollow = 0x100
	atRemovedir       = 0x200
	renameNoreplace   = 1
)

// longestPlain is the length from which on a path needs the \\?\ form: a directory's name must leave room for a short file name.
const longestPlain = 248

// location is a path as the system takes it: a name in an open directory, or, if root is 0, one that stands for itself.
type location struct {
	root windows.Handle
	name string
}

// locate is path, in directory dir if it is relative. ".." leads out of the name before it and not out of dir.
func locate(dir driver.Handle, path string) (location, error) {
	if path == "" {
		return location{}, windows.ERROR_PATH_NOT_FOUND
	}
	if dir == driver.CurrentDir || os.IsPathSeparator(path[0]) || filepath.VolumeName(path) != "" {
		name, err := extended(path)
		return location{0, name}, err
	}
	if !isHandle(windows.Handle(dir)) {
		return location{}, windows.ERROR_INVALID_HANDLE
	}
	name := filepath.Clean(path)
	if name == "." {
		name = ""
	}
	return location{windows.Handle(dir), name}, nil
}

// open is CreateFile.
func (p location) open(access, share, disposition, flags uint32) (windows.Handle, error) {
	if p.root != 0 {
		return win32.CreateFileAt(p.root, p.name, access, share, disposition, flags)
	}
	name, err := windows.UTF16PtrFromString(p.name)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(name, access, share, nil, disposition, flags, 0)
}

// attributes are those of the file itself, be it a link.
func (p location) attributes() (uint32, error) {
	h, err := p.open(windows.FILE_READ_ATTRIBUTES, win32.ShareAll, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT)
	if err != nil {
		return 0, err
	}
	defer windows.CloseHandle(h)
	var st windows.ByHandleFileInformation
	err = windows.GetFileInformationByHandle(h, &st)
	return st.FileAttributes, err
}

// native is p as the native calls take it.
func (p location) native() (root windows.Handle, name string, err error) {
	if p.root != 0 {
		return p.root, p.name, nil
	}
	full, err := windows.FullPath(p.name)
	if err != nil {
		return 0, "", err
	}
	for _, prefix := range []string{`\\?\`, `\\.\`} {
		if rest, ok := strings.CutPrefix(full, prefix); ok {
			return 0, `\??\` + rest, nil
		}
	}
	if rest, ok := strings.CutPrefix(full, `\\`); ok {
		return 0, `\??\UNC\` + rest, nil
	}
	return 0, `\??\` + full, nil
}

// extended is path in the \\?\ form if it is long: absolute, cleaned, with backslashes only, since the system takes such a path as
// it is.
func extended(path string) (string, error) {
	if strings.HasPrefix(path, `\\?\`) {
		return `\\?\` + strings.ReplaceAll(path[4:], "/", `\`), nil
	}
	if len(path) < longestPlain || strings.HasPrefix(path, `\\.\`) {
		return path, nil
	}
	full, err := windows.FullPath(path)
	if err != nil {
		return "", err
	}
	if rest, unc := strings.CutPrefix(full, `\\`); unc {
		return `\\?\UNC\` + rest, nil
	}
	return `\\?\` + full, nil
}

// execUnlink removes a file, read-only ones too, or a directory.
func execUnlink(_ *Driver, b *block) (int, error) {
	p, err := locate(b.r.FD, b.r.Ext.Path)
	if err != nil {
		return 0, err
	}
	flags := uint32(windows.FILE_FLAG_OPEN_REPARSE_POINT) // and no directory
	if b.r.Arg&atRemovedir != 0 {
		flags |= windows.FILE_FLAG_BACKUP_SEMANTICS
		if a, err := p.attributes(); err == nil && a&windows.FILE_ATTRIBUTE_DIRECTORY == 0 {
			return 0, windows.ERROR_DIRECTORY
		}
	}
	h, err := p.open(windows.DELETE, win32.ShareAll, windows.OPEN_EXISTING, flags)
	if err != nil {
		return 0, err
	}
	defer windows.CloseHandle(h)
	if err = win32.Delete(h); err == windows.ERROR_ACCESS_DENIED {
		return 0, p.deleteReadOnly(h, err)
	}
	return 0, err
}

// deleteReadOnly removes a file that the system has refused to remove, with err, if that is because it is read-only.
func (p location) deleteReadOnly(h windows.Handle, refused error) error {
	attributes, err := p.attributes()
	const readOnly = windows.FILE_ATTRIBUTE_READONLY
	if err != nil || attributes&readOnly == 0 {
		return refused
	}
	w, err := p.open(windows.FILE_WRITE_ATTRIBUTES, win32.ShareAll, windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT|windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return refused
	}
	defer windows.CloseHandle(w)
	if win32.SetAttributes(w, attributes&^readOnly) != nil {
		return refused
	}
	if err = win32.DeleteOnClose(h); err != nil {
		win32.SetAttributes(w, attributes)
	}
	return err
}

// execRename renames a file or directory, and replaces what has the new name if that is a file, unless RENAME_NOREPLACE is given.
func execRename(_ *Driver, b *block) (int, error) {
	if b.r.Arg != 0 && b.r.Arg != renameNoreplace {
		return 0, driver.ErrUnsupported
	}
	return 0, withName(b.r, windows.DELETE, func(h, root windows.Handle, name string) error {
		return win32.Rename(h, root, name, b.r.Arg == 0)
	})
}

// execLink makes a hard link.
func execLink(_ *Driver, b *block) (int, error) {
	return 0, withName(b.r, windows.FILE_WRITE_ATTRIBUTES, win32.Link)
}

// withName opens r's first path, be it a link, and calls do to give it r's second.
func withName(r *driver.Request, access uint32, do func(h, root windows.Handle, name string) error) error {
	from, err := locate(r.FD, r.Ext.Path)
	if err != nil {
		return err
	}
	to, err := locate(r.Ext.FD2, r.Ext.Path2)
	if err != nil {
		return err
	}
	root, name, err := to.native()
	if err != nil {
		return err
	}
	h, err := from.open(access, win32.ShareAll, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(h)
	return do(h, root, name)
}

// execMkdir makes a directory. Its rights are inherited: there are no permission bits.
func execMkdir(_ *Driver, b *block) (int, error) {
	p, err := locate(b.r.FD, b.r.Ext.Path)
	if err != nil {
		return 0, err
	}
	if p.root != 0 {
		return 0, win32.MkdirAt(p.root, p.name)
	}
	name, err := windows.UTF16PtrFromString(p.name)
	if err != nil {
		return 0, err
	}
	return 0, windows.CreateDirectory(name, nil)
}

// execOpen opens a file for overlapped transfers as package os does it, sharing modes included, and attaches it.
func execOpen(d *Driver, b *block) (int, error) {
	r := b.r
	p, err := locate(r.FD, r.Ext.Path)
	if err != nil {
		return 0, err
	}
	how, err := openMode(r.Arg, r.Arg2)
	if err != nil {
		return 0, err
	}
	if !d.enter(b) { // a server may not answer for long
		return 0, driver.ErrCanceled
	}
	h, err := how.open(p)
	d.leave(b)
	if err != nil {
		return 0, err
	}
	t, err := inquire(h)
	if err == nil {
		t, err = d.attach(h, t)
	}
	if err != nil && err != driver.ErrNotOverlapped && err != driver.ErrOtherPort {
		windows.CloseHandle(h)
		return 0, err
	}
	b.opened = &t
	return int(h), nil
}

// fileFlags are the bits of O_* flags that stand for CreateFile's FILE_FLAG_* of the same value, and knownFlags those that have a meaning,
// as os.OpenFile has them.
const (
	fileFlags  = 0xfff00000
	knownFlags = windows.FILE_FLAG_OPEN_REPARSE_POINT | windows.FILE_FLAG_BACKUP_SEMANTICS | windows.FILE_FLAG_OVERLAPPED |
		windows.FILE_FLAG_OPEN_NO_RECALL | windows.FILE_FLAG_SESSION_AWARE | windows.FILE_FLAG_POSIX_SEMANTICS |
		windows.FILE_FLAG_DELETE_ON_CLOSE | windows.FILE_FLAG_SEQUENTIAL_SCAN | windows.FILE_FLAG_NO_BUFFERING |
		windows.FILE_FLAG_RANDOM_ACCESS | windows.FILE_FLAG_WRITE_THROUGH
)

// opening is what CreateFile takes.
type opening struct {
	access, disposition, attributes uint32
	empties                         bool // what there was is to be gone
}

// openMode translates O_* flags and permission bits.
func openMode(flags, perm uint32) (how opening, err error) {
	if flags&fileFlags&^knownFlags != 0 {
		return how, windows.ERROR_INVALID_PARAMETER
	}
	how.attributes = windows.FILE_FLAG_OVERLAPPED | flags&fileFlags
	switch flags & (syscall.O_RDONLY | syscall.O_WRONLY | syscall.O_RDWR) {
	case syscall.O_RDONLY:
		how.access = windows.GENERIC_READ
		how.attributes |= windows.FILE_FLAG_BACKUP_SEMANTICS // for directories, which are not to be written to
	case syscall.O_WRONLY:
		how.access = windows.GENERIC_WRITE
	case syscall.O_RDWR:
		how.access = windows.GENERIC_READ | windows.GENERIC_WRITE
	}
	if flags&syscall.O_APPEND != 0 && how.access&windows.GENERIC_WRITE != 0 {
		// GENERIC_WRITE less FILE_WRITE_DATA: then every write goes to the end.
		how.access = how.access&^windows.GENERIC_WRITE | windows.FILE_APPEND_DATA | windows.FILE_WRITE_ATTRIBUTES | windows.FILE_WRITE_EA |
			windows.STANDARD_RIGHTS_WRITE | windows.SYNCHRONIZE
	}
	switch {
	case flags&(syscall.O_CREAT|syscall.O_EXCL) == syscall.O_CREAT|syscall.O_EXCL:
		how.disposition = windows.CREATE_NEW
		how.attributes |= windows.FILE_FLAG_OPEN_REPARSE_POINT // what a link names is not to be made
	case flags&syscall.O_CREAT != 0:
		how.disposition = windows.OPEN_ALWAYS
	default:
		how.disposition = windows.OPEN_EXISTING
	}
	how.empties = flags&syscall.O_TRUNC != 0 && how.disposition != windows.CREATE_NEW
	if flags&syscall.O_CREAT != 0 && perm&syscall.S_IWRITE == 0 {
		how.attributes |= windows.FILE_ATTRIBUTE_READONLY
	} else {
		how.attributes |= windows.FILE_ATTRIBUTE_NORMAL
	}
	if flags&syscall.O_SYNC != 0 {
		how.attributes |= windows.FILE_FLAG_WRITE_THROUGH
	}
	return how, nil
}

// open opens p. A file that is emptied keeps its attributes, as on other systems, which CREATE_ALWAYS would change: it is truncated when it
// is open, for which the handle needs a right that may not be meant to stay.
func (how opening) open(p location) (h windows.Handle, err error) {
	access := how.access
	if how.empties && access&windows.GENERIC_WRITE == 0 {
		access |= windows.FILE_WRITE_DATA
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE
	h, err = p.open(access, share, how.disposition, how.attributes)
	if err == windows.ERROR_ACCESS_DENIED && how.attributes&windows.FILE_FLAG_BACKUP_SEMANTICS == 0 {
		if a, failed := p.attributes(); failed == nil && a&windows.FILE_ATTRIBUTE_DIRECTORY != 0 {
			return 0, syscall.EISDIR
		}
	}
	if err != nil || !how.empties {
		return h, err
	}
	err = windows.Ftruncate(h, 0)
	if kind, _ := windows.GetFileType(h); kind != windows.FILE_TYPE_DISK { // it has no length
		err = nil
	}
	if err == nil && access != how.access {
		self := windows.CurrentProcess()
		full := h
		err = windows.DuplicateHandle(self, full, self, &h, how.access, false, 0)
		windows.CloseHandle(full)
		return h, err
	}
	if err != nil {
		windows.CloseHandle(h)
	}
	return h, err
}

// startClose forgets what is known of the handle, whose number may soon be another's, and leaves the closing to a worker, since it may
// write back what a server waits for. A registered file, which is a duplicate, is closed when nothing is in flight on it, this included.
func (d *Driver) startClose(r *driver.Request) bool {
	d.lock()
	defer d.unlock()
	t, ok := d.target(r.FD)
	if !ok || !isHandle(t.h) {
		r.Err = windows.ERROR_INVALID_HANDLE
		return true
	}
	if i, registered := r.FD.Registered(); registered {
		if i < len(d.files) && d.files[i] == t.file {
			d.files[i] = nil
		}
		t.file.gone = true
	}
	d.handles.forget(t.h)
	d.toWorker(r, t, false)
	return false
}

func execClose(_ *Driver, b *block) (int, error) {
	if b.file != nil {
		return 0, nil
	}
	return 0, closeHandle(b.h, b.socket != 0)
}

// closeHandle closes a handle: a socket, of which Winsock keeps a record of its own, by closesocket.
func closeHandle(h windows.Handle, socket bool) error {
	if socket {
		return windows.Closesocket(h)
	}
	return windows.CloseHandle(h)
}
