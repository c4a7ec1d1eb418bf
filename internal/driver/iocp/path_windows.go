package iocp

import (
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// Flags of path requests: their values on Linux, since Windows has none for what they mean.
const (
	atSymlinkNofollow = 0x100
	atRemovedir       = 0x200
	renameNoreplace   = 1
)

// longestPlain is the length from which on a path needs the \\?\ form: a directory's name must leave room for a short file name.
const longestPlain = 248

// handlePath is path, in the directory h, as a system call takes it.
func (d *Driver) handlePath(h driver.Handle, path string) (*uint16, error) {
	name, err := resolve(h, path)
	if err != nil {
		return nil, err
	}
	return windows.UTF16PtrFromString(name)
}

// resolve is path, in directory dir unless it is absolute, in a form that may be long.
func resolve(dir driver.Handle, path string) (string, error) {
	if path == "" {
		return "", windows.ERROR_PATH_NOT_FOUND
	}
	if dir != driver.CurrentDir && !filepath.IsAbs(path) {
		parent, err := finalPath(windows.Handle(dir))
		if err != nil {
			return "", err
		}
		path = parent + `\` + path
	}
	return extended(path)
}

// finalPath is the name of an open directory. If somebody renames it meanwhile, it is the old one.
func finalPath(dir windows.Handle) (string, error) {
	buf := make([]uint16, windows.MAX_PATH)
	for {
		n, err := windows.GetFinalPathNameByHandle(dir, &buf[0], uint32(len(buf)), 0)
		if err != nil {
			return "", err
		}
		if int(n) < len(buf) {
			return windows.UTF16ToString(buf[:n]), nil
		}
		buf = make([]uint16, n+1)
	}
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

// twoPaths resolves both of a request's.
func twoPaths(d *Driver, r *driver.Request) (from, to *uint16, err error) {
	if from, err = d.handlePath(r.FD, r.Ext.Path); err != nil {
		return nil, nil, err
	}
	to, err = d.handlePath(r.Ext.FD2, r.Ext.Path2)
	return from, to, err
}

// execUnlink removes a file, read-only ones too, or a directory.
func execUnlink(d *Driver, b *block) (int, error) {
	name, err := d.handlePath(b.r.FD, b.r.Ext.Path)
	if err != nil {
		return 0, err
	}
	if b.r.Arg&atRemovedir != 0 {
		return 0, windows.RemoveDirectory(name)
	}
	err = windows.DeleteFile(name)
	if err != windows.ERROR_ACCESS_DENIED {
		return 0, err
	}
	attributes, failed := windows.GetFileAttributes(name)
	const readOnly, directory = windows.FILE_ATTRIBUTE_READONLY, windows.FILE_ATTRIBUTE_DIRECTORY
	if failed != nil || attributes&readOnly == 0 || attributes&directory != 0 {
		return 0, err
	}
	if windows.SetFileAttributes(name, attributes&^readOnly) != nil {
		return 0, err
	}
	if err = windows.DeleteFile(name); err != nil {
		windows.SetFileAttributes(name, attributes)
	}
	return 0, err
}

// execRename renames a file or directory, and replaces what has the new name if that is a file, unless RENAME_NOREPLACE is given.
func execRename(d *Driver, b *block) (int, error) {
	from, to, err := twoPaths(d, b.r)
	if err != nil {
		return 0, err
	}
	switch b.r.Arg {
	case 0:
		return 0, windows.MoveFileEx(from, to, windows.MOVEFILE_REPLACE_EXISTING)
	case renameNoreplace:
		return 0, windows.MoveFileEx(from, to, 0)
	}
	return 0, driver.ErrUnsupported
}

// execMkdir makes a directory. Its rights are inherited: there are no permission bits.
func execMkdir(d *Driver, b *block) (int, error) {
	name, err := d.handlePath(b.r.FD, b.r.Ext.Path)
	if err != nil {
		return 0, err
	}
	return 0, windows.CreateDirectory(name, nil)
}

// execLink makes a hard link.
func execLink(d *Driver, b *block) (int, error) {
	from, to, err := twoPaths(d, b.r)
	if err != nil {
		return 0, err
	}
	return 0, windows.CreateHardLink(to, from, 0)
}

// execOpen opens a file for overlapped transfers as package os does it, sharing modes included, and attaches it.
func execOpen(d *Driver, b *block) (int, error) {
	r := b.r
	name, err := d.handlePath(r.FD, r.Ext.Path)
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
	h, err := how.open(name)
	d.leave(b)
	if err != nil {
		return 0, err
	}
	t, err := attach(d.port, h)
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

// open opens name. A file that is emptied keeps its attributes, as on other systems, which CREATE_ALWAYS would change: it is truncated when it
// is open, for which the handle needs a right that may not be meant to stay.
func (how opening) open(name *uint16) (h windows.Handle, err error) {
	access := how.access
	if how.empties && access&windows.GENERIC_WRITE == 0 {
		access |= windows.FILE_WRITE_DATA
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE
	h, err = windows.CreateFile(name, access, share, nil, how.disposition, how.attributes, 0)
	if err == windows.ERROR_ACCESS_DENIED && how.attributes&windows.FILE_FLAG_BACKUP_SEMANTICS == 0 {
		if a, failed := windows.GetFileAttributes(name); failed == nil && a&windows.FILE_ATTRIBUTE_DIRECTORY != 0 {
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
// write back what a server waits for.
func (d *Driver) startClose(r *driver.Request) bool {
	d.lock()
	defer d.unlock()
	h, t, ok := d.handle(r.FD)
	if !ok || !isHandle(h) {
		r.Err = windows.ERROR_INVALID_HANDLE
		return true
	}
	if i, registered := r.FD.Registered(); registered {
		d.files[i] = file{}
	}
	d.handles.forget(h)
	d.toWorker(r, h, t, false)
	return false
}

func execClose(_ *Driver, b *block) (int, error) { return 0, windows.CloseHandle(b.h) }
