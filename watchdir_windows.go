package ringport

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/mem"
	"github.com/ringport/ringport/internal/win32"
)

// changes is a watch by ReadDirectoryChangesW. The system keeps what happens between two calls in a buffer of its own, as large as that of the
// first call, from that call on.
//
// It reports all that happens below the directory by its path, in order, but not what is in a directory that is moved in: a new
// directory is listed when it is reported. What is listed may include changes that are still to be reported: all of these are in what the next
// call returns, since a call empties the system's buffer. Until that is handled nothing is renamed: what had the old name is removed, and what has
// the new one by now is listed.
type changes struct {
	*dirWatch
	root    string // the absolute path
	dir     windows.Handle
	read    Op
	buf     []byte
	name    []uint16 // for decoding
	oldName string   // the first half of a rename, whose second one is the next change
	calls   int      // that have returned
	listed  int      // how many had when something was listed last
}

const (
	changesBytes = 64 << 10 // the most that a call may ask for over a network
	changesKinds = windows.FILE_NOTIFY_CHANGE_FILE_NAME | windows.FILE_NOTIFY_CHANGE_DIR_NAME | windows.FILE_NOTIFY_CHANGE_ATTRIBUTES |
		windows.FILE_NOTIFY_CHANGE_SIZE | windows.FILE_NOTIFY_CHANGE_LAST_WRITE | windows.FILE_NOTIFY_CHANGE_SECURITY
	errDeletePending = syscall.Errno(303) // ERROR_DELETE_PENDING
)

func (w *dirWatch) run() error {
	dir, err := win32.Open(w.path, windows.FILE_LIST_DIRECTORY, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OVERLAPPED)
	if err != nil {
		return err
	}
	defer w.m.closeHandle(Handle(dir))
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(dir, &info); err != nil {
		return err
	}
	if info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY == 0 {
		return syscall.ENOTDIR
	}
	if err := w.m.Attach(Handle(dir)); err != nil {
		return causeIn(err)
	}
	root, err := filepath.Abs(w.path)
	if err != nil {
		return causeIn(err)
	}
	c := &changes{dirWatch: w, root: root, dir: dir, buf: mem.Aligned(changesBytes, 8)} // a multiple of a DWORD
	c.read = Overlapped("ReadDirectoryChanges", Handle(dir), 0, c.start)
	c.read.Named(w.path)
	return c.loop()
}

// start begins a call.
func (c *changes) start(ov *windows.Overlapped) Started {
	err := windows.ReadDirectoryChanges(c.dir, &c.buf[0], uint32(len(c.buf)), c.recursive, changesKinds, nil, ov, 0)
	if c.calls == 0 { // it is only to make the system keep changes
		windows.CancelIoEx(c.dir, ov)
	}
	return Unchecked(err)
}

// next waits for changes.
func (c *changes) next() (int, error) {
	n, err := c.do(&c.read)
	c.calls++
	return n, err
}

func (c *changes) loop() error {
	// What this call reports is older than the listing to come.
	if _, err := c.next(); err != nil && !errors.Is(err, windows.ERROR_OPERATION_ABORTED) {
		return err
	}
	for {
		err := c.rescan()
		for err == nil {
			var n int
			if n, err = c.next(); err == nil {
				err = c.handleAll(c.buf[:n])
			}
		}
		switch {
		case err == errChangesLost, errors.Is(err, windows.ERROR_NOTIFY_ENUM_DIR):
		case errors.Is(err, windows.ERROR_ACCESS_DENIED), errors.Is(err, errDeletePending): // is what the system answers then
			return ErrDirGone
		default:
			return err
		}
	}
}

func (c *changes) rescan() error {
	c.oldName, c.listed = "", c.calls
	return c.emit(DirRescan, "", "")
}

// handleAll handles the changes in b, which are FILE_NOTIFY_INFORMATION. If there are none, they were too many.
func (c *changes) handleAll(b []byte) error {
	if len(b) == 0 {
		return errChangesLost
	}
	const headBytes = 12
	for len(b) >= headBytes {
		word := func(i int) int { return int(binary.LittleEndian.Uint32(b[4*i:])) }
		next, action, end := word(0), word(1), headBytes+word(2)
		if end > len(b) || next > len(b) {
			break // the system reports whole changes
		}
		c.name = c.name[:0]
		for i := headBytes; i < end; i += 2 {
			c.name = append(c.name, binary.LittleEndian.Uint16(b[i:]))
		}
		if err := c.handle(action, syscall.UTF16ToString(c.name)); err != nil {
			return err
		}
		if next == 0 {
			break
		}
		b = b[next:]
	}
	return nil
}

func (c *changes) handle(action int, name string) error {
	old := c.oldName
	c.oldName = ""
	// A rename has both names next to each other, and in one directory. From one to another it is a removal and an addition.
	renamed := action == windows.FILE_ACTION_RENAMED_NEW_NAME && filepath.Dir(old) == filepath.Dir(name)
	if old != "" && (!renamed || c.calls <= c.listed+1) {
		if err := c.emit(DirRemove, old, ""); err != nil {
			return err
		}
		old = ""
	}
	switch action {
	case windows.FILE_ACTION_ADDED:
		return c.appear(name)
	case windows.FILE_ACTION_REMOVED:
		return c.emit(DirRemove, name, "")
	case windows.FILE_ACTION_MODIFIED:
		return c.emit(DirWrite, name, "")
	case windows.FILE_ACTION_RENAMED_OLD_NAME:
		c.oldName = name
	case windows.FILE_ACTION_RENAMED_NEW_NAME:
		if old == "" {
			return c.appear(name)
		}
		return c.emit(DirRename, name, old)
	}
	return nil
}

// appear reports a new name, and all that is below it.
func (c *changes) appear(name string) error {
	if err := c.emit(DirCreate, name, ""); err != nil || !c.recursive {
		return err
	}
	top := filepath.Join(c.root, name)
	if info, err := os.Lstat(top); err != nil || !info.IsDir() {
		return nil // it is gone by now, for which there is a change to come, or has nothing below it
	}
	c.listed = c.calls
	var left error
	filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != top {
			left = c.emit(DirCreate, name+path[len(top):], "")
		}
		if left != nil {
			return left
		}
		return nil // what can't be listed is gone, or not for us to see
	})
	return left
}
