package ringport

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

// Seek moves the file's position to offset bytes from its start (io.SeekStart), the present position (io.SeekCurrent) or the
// file's end (io.SeekEnd), and returns the new one. It waits for a Read or Write in progress. ESPIPE for what has no
// position. See lseek(2).
func (f *File) Seek(offset int64, whence int) (int64, error) {
	if err := f.enter("seek"); err != nil {
		return 0, err
	}
	defer f.leave()
	if err := f.over("seek", neither); err != nil {
		return 0, err
	}
	if !f.seekable {
		return 0, f.failed("seek", syscall.ESPIPE)
	}
	t := f.turnOf(neither)
	if err := f.takeTurn("seek", t, neither); err != nil {
		return 0, err
	}
	defer f.passTurn(t)
	f.mu.Lock()
	dir := f.dir
	f.mu.Unlock()
	if dir != nil { // it has read ahead, and forgets that
		return dir.Seek(offset, whence)
	}
	n, err := seekHandle(f.h, offset, whence)
	if err != nil {
		return 0, f.failed("seek", err)
	}
	return n, nil
}

// Sync writes the file's data and metadata to the disk. See fsync(2), FlushFileBuffers.
func (f *File) Sync() error { return f.once("fsync", func(c *call) { c.op = Fsync(f.h) }) }

// Datasync writes the file's data, and the metadata needed to read it back, to the disk. See fdatasync(2).
func (f *File) Datasync() error { return f.once("fdatasync", func(c *call) { c.op = Fdatasync(f.h) }) }

// Truncate makes the file size bytes long. The position stays. See ftruncate(2), SetEndOfFile.
func (f *File) Truncate(size int64) error {
	return f.once("truncate", func(c *call) { c.op = Truncate(f.h, size) })
}

// Allocate makes sure that the disk has room for n bytes from off bytes after the start of the file on, and makes the file
// that long if it is shorter. ErrUnsupported or EOPNOTSUPP where the system or the file system cannot. See fallocate(2).
func (f *File) Allocate(off, n int64) error {
	if off < 0 {
		return &OpError{Op: "fallocate", Name: f.name, Err: ErrNegativeOffset}
	}
	return f.once("fallocate", func(c *call) { c.op = Fallocate(f.h, 0, off, n) })
}

// Stat describes the file. Sys of the result is a *FileStat. See statx(2).
func (f *File) Stat() (fs.FileInfo, error) {
	info := &fileInfo{}
	err := f.once("stat", func(c *call) {
		c.op = Op{req: driver.Request{Kind: driver.Stat, FD: f.h, Ext: &c.ext}}
		c.ext.Stat = &info.stat
	})
	if err != nil {
		return nil, err
	}
	info.name = filepath.Base(f.name)
	return info, nil
}

// fileInfo is a FileStat as an fs.FileInfo.
type fileInfo struct {
	name string
	stat FileStat
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.stat.SizeBytes }
func (i *fileInfo) Mode() fs.FileMode  { return i.stat.Mode }
func (i *fileInfo) ModTime() time.Time { return i.stat.ModTime }
func (i *fileInfo) IsDir() bool        { return i.stat.Mode.IsDir() }
func (i *fileInfo) Sys() any           { return &i.stat }

// ReadDir reads the entries of a directory, as os.File's does: n at most, in the order of the directory, or all if n ≤ 0. It
// is no operation of the manager, and no context ends it.
func (f *File) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := f.enter("readdir"); err != nil {
		return nil, err
	}
	defer f.leave()
	if err := f.over("readdir", neither); err != nil {
		return nil, err
	}
	dir, err := f.directoryReader()
	if err != nil {
		return nil, f.failed("readdir", err)
	}
	return dir.ReadDir(n)
}

// directoryReader is an os.File that reads the same directory.
func (f *file) directoryReader() (*os.File, error) {
	if !f.directory {
		return nil, syscall.ENOTDIR
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir == nil {
		h, err := openDirectory(f.h)
		if err != nil {
			return nil, err
		}
		f.dir = os.NewFile(uintptr(h), f.name)
	}
	return f.dir, nil
}
