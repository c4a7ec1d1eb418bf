package copytree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/win32"
)

var reasons = []reason{
	{windows.ERROR_DISK_FULL, "the disk is full"},
	{windows.ERROR_HANDLE_DISK_FULL, "the disk is full"},
	{windows.ERROR_DISK_QUOTA_EXCEEDED, "the quota on this disk is used up"},
	{windows.ERROR_PRIVILEGE_NOT_HELD, "symbolic links are made by administrators, or in developer mode"},
}

// isFull reports whether err says that a file of this size cannot be.
func isFull(err error) bool {
	for _, full := range []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED,
		windows.ERROR_FILE_TOO_LARGE} {
		if errors.Is(err, full) {
			return true
		}
	}
	return false
}

// isDevice reports whether path names a device or a pipe by its form: NUL, COM1, \\.\PhysicalDrive0, \\server\pipe\name. To open such a
// thing, if only to look at it, may mean something to it.
func isDevice(path string) bool {
	path = strings.ReplaceAll(path, "/", `\`)
	if rest, ok := strings.CutPrefix(path, `\\`); ok {
		first, rest, _ := strings.Cut(rest, `\`)
		second, _, _ := strings.Cut(rest, `\`)
		switch {
		case first == ".", strings.EqualFold(second, "pipe"):
			return true
		case first == "?": // what follows is taken literally
			isDrive := len(second) == 2 && second[1] == ':'
			return !isDrive && !strings.EqualFold(second, "UNC") && !strings.HasPrefix(second, "Volume{")
		}
	}
	base := filepath.Base(path)
	return base != ".." && base != `\` && !filepath.IsLocal(base)
}

// fileID tells files apart by what they are and not by their names.
type fileID struct {
	volume uint32
	index  uint64
}

func (id fileID) known() bool { return id.index != 0 }

// status is what a file is, apart from its content. Sizes in bytes.
type status struct {
	mode                        fs.FileMode // its type, and whether it is read-only
	size                        int64
	accessed, modified, created time.Time
	attributes                  uint32
	id                          fileID
	links                       uint64
}

// openHandle is CreateFile, with everything shared.
func openHandle(path string, access, disposition, flags uint32) (windows.Handle, error) {
	return win32.Open(path, access, disposition, flags|windows.FILE_ATTRIBUTE_NORMAL)
}

// lookAt opens for nothing but attributes, a link itself.
func lookAt(path string, access uint32) (windows.Handle, error) {
	return openHandle(path, access, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT)
}

// statusOf describes what is named path, a link as a link. See GetFileInformationByHandle.
func statusOf(path string) (st status, err error) {
	if isDevice(path) {
		return status{mode: fs.ModeIrregular}, nil
	}
	h, err := lookAt(path, windows.FILE_READ_ATTRIBUTES)
	if err == nil {
		defer windows.CloseHandle(h)
		st, err = newStatus(h)
	}
	if err != nil {
		return status{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st, nil
}

// newStatus does not ask for the type of h, since Wine's GetFileType counts as an access; only files and folders answer at all.
func newStatus(h windows.Handle) (status, error) {
	var st windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &st); err != nil {
		return status{}, err
	}
	mode := fs.FileMode(0o666)
	if st.FileAttributes&windows.FILE_ATTRIBUTE_READONLY != 0 {
		mode = 0o444
	}
	return status{mode: mode | kindOf(h, st.FileAttributes), size: int64(st.FileSizeHigh)<<32 | int64(st.FileSizeLow),
		accessed: timeOf(st.LastAccessTime), modified: timeOf(st.LastWriteTime), created: timeOf(st.CreationTime), attributes: st.FileAttributes,
		id: fileID{st.VolumeSerialNumber, uint64(st.FileIndexHigh)<<32 | uint64(st.FileIndexLow)}, links: uint64(st.NumberOfLinks)}, nil
}

// timeOf is zero for zero, which stands for a time that the file system does not keep, or which is not to be changed.
func timeOf(f windows.Filetime) time.Time {
	if f == (windows.Filetime{}) {
		return time.Time{}
	}
	return time.Unix(0, f.Nanoseconds())
}

func filetime(t time.Time) windows.Filetime {
	if t.IsZero() {
		return windows.Filetime{}
	}
	return windows.NsecToFiletime(t.UnixNano())
}

// nameSurrogate is the bit of a reparse tag that says that the thing stands for another one: a link or a mount point, and not a file that lies in
// a cloud. See IsReparseTagNameSurrogate.
const nameSurrogate = 0x20000000

func kindOf(h windows.Handle, attributes uint32) fs.FileMode {
	if attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
		switch tag, err := win32.ReparseTag(h); {
		case err == nil && tag == windows.IO_REPARSE_TAG_SYMLINK:
			return fs.ModeSymlink
		case err != nil || tag&nameSurrogate != 0:
			return fs.ModeIrregular
		}
	}
	if attributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0 {
		return fs.ModeDir
	}
	return 0
}

// openOriginal opens a file to be copied.
func openOriginal(_ context.Context, m *ringport.Manager, path string) (*ringport.File, status, error) {
	if isDevice(path) {
		return nil, status{}, &fs.PathError{Op: "open", Path: path, Err: errSpecial}
	}
	f, err := open(m, path, path, windows.GENERIC_READ, windows.OPEN_EXISTING, 0)
	if err != nil {
		return nil, status{}, err
	}
	st, err := newStatus(windows.Handle(f.Fd()))
	if err != nil {
		f.Close()
		return nil, status{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return f, st, nil
}

// createUnfinished makes a file that is not to be taken for what it will be. Errors show the name that it will have.
func createUnfinished(_ context.Context, m *ringport.Manager, path, final string) (*ringport.File, error) {
	return open(m, path, final, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.CREATE_NEW, 0)
}

// open makes the system call here: it rarely waits for a disk, and handing it over would cost more than it takes.
func open(m *ringport.Manager, path, name string, access, disposition, flags uint32) (*ringport.File, error) {
	h, err := openHandle(path, access, disposition, flags|windows.FILE_FLAG_OVERLAPPED)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f, err := m.NewFile(ringport.Handle(h), name)
	if err != nil {
		windows.CloseHandle(h)
	}
	return f, err
}

// fromDisk has the system write f, which is at path, to the disk, and opens it again past the cache.
func fromDisk(ctx context.Context, m *ringport.Manager, f *ringport.File, path string) (*ringport.File, error) {
	if err := f.WithContext(ctx).Sync(); err != nil {
		return nil, err
	}
	return open(m, path, f.Name(), windows.GENERIC_READ, windows.OPEN_EXISTING, windows.FILE_FLAG_NO_BUFFERING)
}

// rename takes away the temporary name of what has become final. A read-only file is replaced as well.
func rename(tmp, final string) error {
	err := os.Rename(tmp, final)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		if there, failed := os.Lstat(final); failed == nil && there.Mode().IsRegular() && there.Mode()&0o200 == 0 && os.Chmod(final, 0o600) == nil {
			if err = os.Rename(tmp, final); err != nil {
				os.Chmod(final, 0o400)
			}
		}
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: final, Err: causeOf(err)}
	}
	return nil
}

// symlink makes a link to a folder or to a file, as the original st is: a difference that Windows makes, and that can't be seen from what is
// not there yet.
func symlink(behind, path string, st status) error {
	to, err := windows.UTF16PtrFromString(behind)
	if err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	const unprivileged = 2 // SYMBOLIC_LINK_FLAG_ALLOW_UNPRIVILEGED_CREATE: in developer mode
	flags := uint32(unprivileged)
	if st.attributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0 {
		flags |= windows.SYMBOLIC_LINK_FLAG_DIRECTORY
	}
	return windows.CreateSymbolicLink(name, to, flags)
}

// keptAttributes are those that a copy has from its original. Others say how a file is stored.
const keptAttributes = windows.FILE_ATTRIBUTE_READONLY | windows.FILE_ATTRIBUTE_HIDDEN | windows.FILE_ATTRIBUTE_SYSTEM |
	windows.FILE_ATTRIBUTE_ARCHIVE | windows.FILE_ATTRIBUTE_NOT_CONTENT_INDEXED

// give makes path's times and attributes those of st.
func (st *status) give(path string) error {
	h, err := lookAt(path, windows.FILE_WRITE_ATTRIBUTES)
	if err == nil {
		defer windows.CloseHandle(h)
		err = st.set(h)
	}
	if err != nil {
		return &fs.PathError{Op: "set times and attributes of", Path: path, Err: err}
	}
	return nil
}

// giveOpen is give for a file that was written to. Only times that are set through the same handle are left alone when that is closed.
func (st *status) giveOpen(f *ringport.File, path string) error {
	if err := st.set(windows.Handle(f.Fd())); err != nil {
		return &fs.PathError{Op: "set times and attributes of", Path: path, Err: err}
	}
	return nil
}

func (st *status) set(h windows.Handle) error {
	return win32.SetBasic(h, win32.Basic{Created: filetime(st.created), Accessed: filetime(st.accessed), Written: filetime(st.modified),
		Attributes: st.attributes&keptAttributes | windows.FILE_ATTRIBUTE_NORMAL})
}

// syncFolder writes a folder's names to the disk. See FlushFileBuffers, which wants the right to write.
func syncFolder(_ context.Context, _ *ringport.Manager, path string) error {
	h, err := openHandle(path, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err == nil {
		defer windows.CloseHandle(h)
		err = windows.FlushFileBuffers(h)
	}
	if err != nil {
		return &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	return nil
}
