package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ringport/ringport"
)

const (
	defaultSize   = int64(1) << 30          // of a file that bench makes
	minimumSize   = int64(64) << 20         // the least that a slow disk's default shrinks to
	layoutTime    = 2500 * time.Millisecond // how long laying out the default may take; then the file stays as big as it is
	tempPattern   = ".ringport-bench-*"     // * is for something random
	freeSpacePart = 2                       // the default takes at most this part of the free space
)

// benchFile is the file or device that the engines use.
type benchFile struct {
	f      *os.File
	path   string // what it was opened by
	flags  int    // the same
	title  string // what it is, for the user
	size   int64  // bytes in use
	direct bool
	cached string   // why it is not direct, if the user did not say so
	notes  []string // what to mind about the figures

	layOut bool     // its content is still to be made
	shrink bool     // by as much as layoutTime allows
	remove string   // what close removes: the name of a temporary file, or of one whose layout was not finished
	keep   *os.File // closed last, which removes a temporary file where open ones keep their names
}

// openBenchFile opens what o names, or makes a file. The content of a new file is made by fill, later, so that whatever else
// can fail does so first.
func openBenchFile(o *benchOptions) (*benchFile, error) {
	path := o.file
	if path == "" {
		path = "."
	}
	if isDeviceName(path) {
		return nil, fmt.Errorf("%s is a device, and bench uses none on this system", path)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.file != "":
		return makeFile(o, path)
	case err != nil:
		return nil, plain(err)
	case info.IsDir():
		return makeTemporary(o, path)
	case info.Mode().IsRegular():
		return openExisting(o, path, info)
	case info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0:
		return openExisting(o, path, info)
	}
	return nil, fmt.Errorf("%s is neither a regular file nor a block device", path)
}

// makeTemporary makes a file of which nothing stays behind, however bench ends.
func makeTemporary(o *benchOptions, folder string) (*benchFile, error) {
	f, err := createTemporary(folder)
	if err != nil {
		return nil, cannotMake(folder, err)
	}
	b := &benchFile{remove: f.Name(), keep: f, title: "temporary file in " + absolute(folder)}
	if err := b.prepareNew(o, folder); err != nil {
		b.close()
		return nil, err
	}
	b.loseName()
	return b, nil
}

// makeFile makes the file that the user named. It is kept, if it gets its content.
func makeFile(o *benchOptions, path string) (*benchFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, cannotMake(filepath.Dir(path), err)
	}
	f.Close()
	b := &benchFile{remove: path, title: path}
	if err := b.prepareNew(o, filepath.Dir(path)); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// prepareNew decides how big the new file b.remove is to be, and opens it as the engines use it.
func (b *benchFile) prepareNew(o *benchOptions, folder string) error {
	b.layOut = true
	if b.size = int64(o.size); b.size == 0 {
		b.shrink = true
		b.size = defaultSize
		if free, ok := freeSpace(folder); ok && free/freeSpacePart < b.size {
			b.size = max(free/freeSpacePart, minimumSize)
		}
		b.size = max(b.size, int64(o.block))
	}
	b.size -= b.size % int64(o.block)
	return b.open(o, b.remove, os.O_RDWR)
}

// openExisting opens a file or device that is there. It is written to only if the user allows that in so many words.
func openExisting(o *benchOptions, path string, info fs.FileInfo) (*benchFile, error) {
	flags := os.O_RDONLY
	if o.writes() {
		if !o.overwrite {
			return nil, usagef("%s exists, and --rw %s would destroy what is in it; --overwrite allows that", path, o.rw)
		}
		flags = os.O_RDWR
		if !info.Mode().IsRegular() {
			flags |= os.O_EXCL // refuses a device that is mounted or otherwise in use, see open(2)
		}
	}
	b := &benchFile{title: path}
	if err := b.open(o, path, flags); err != nil {
		return nil, err
	}
	var err error
	end := info.Size()
	if !info.Mode().IsRegular() { // devices have no size in Stat
		end, err = b.f.Seek(0, io.SeekEnd)
	}
	if err == nil {
		err = b.use(o, end)
	}
	if err != nil {
		b.close()
		return nil, plain(err)
	}
	if used, ok := allocated(b.f); ok && used < end {
		b.notes = append(b.notes, fmt.Sprintf("%s of %s has no blocks on the disk: reads there cost next to nothing", formatSize(end-used), path))
	}
	return b, nil
}

// use decides how much of an existing file's end bytes are used.
func (b *benchFile) use(o *benchOptions, end int64) error {
	b.size = int64(o.size)
	switch {
	case end < int64(o.block):
		return fmt.Errorf("%s has %s, which is less than one block of %s", b.title, formatSize(end), o.block.String())
	case b.size > end:
		return fmt.Errorf("%s has %s, which is less than the --size of %s", b.title, formatSize(end), o.size.String())
	case b.size == 0:
		b.size = end
	}
	return nil
}

// open opens path for the engines: for direct I/O, if it is to be had and wanted.
func (b *benchFile) open(o *benchOptions, path string, flags int) (err error) {
	b.path, b.flags = path, flags
	if o.direct != directFalse {
		why := ""
		if o.block%512 != 0 {
			why = fmt.Sprintf("a block of %s is not a multiple of 512 bytes", o.block.String())
		} else if b.f, why, err = openDirect(path, flags, int64(o.block), b.layOut); err != nil {
			return plain(err)
		}
		if b.f != nil {
			b.direct = true
			return nil
		}
		if o.direct == directTrue {
			return fmt.Errorf("no direct I/O on %s: %s", b.title, why)
		}
		b.cached = why
	}
	b.f, err = openFile(path, flags)
	return plain(err)
}

// tryDirect finds out by a transfer of one block whether f takes direct I/O of that size: some file systems say no only then.
func tryDirect(f *os.File, block int64, isNew bool) error {
	buf := ringport.AlignedBuffer(int(block))
	if isNew {
		_, err := f.WriteAt(buf, 0)
		return err
	}
	_, err := f.ReadAt(buf, 0)
	if err == io.EOF {
		return nil // shorter than a block, which use will say
	}
	return err
}

// fill makes a new file's content.
func (b *benchFile) fill(ctx context.Context, block int64, done func(n int64)) error {
	if !b.layOut {
		return nil
	}
	limit := time.Duration(0)
	if b.shrink {
		limit = layoutTime
	}
	n, err := layOut(ctx, b, max(minimumSize, block), limit, done)
	if err != nil {
		return err
	}
	b.size = n
	if b.remove != "" && b.title == b.remove {
		b.remove = "" // the user's from here on
		b.notes = append(b.notes, fmt.Sprintf("%s was made and is kept", b.title))
	}
	return nil
}

func (b *benchFile) close() error {
	var err error
	if b.f != nil {
		err = b.f.Close()
	}
	if b.keep != nil {
		err = errors.Join(err, b.keep.Close())
	}
	if b.remove == "" {
		return err
	}
	if failed := os.Remove(b.remove); !errors.Is(failed, fs.ErrNotExist) {
		err = errors.Join(err, failed)
	}
	return err
}

// absolute is path as it is understood from everywhere, if that can be told.
func absolute(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}

// plain is err without the name of the system call: what happened to what.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// cannotMake is why no file can be made in folder.
func cannotMake(folder string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s", folder)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to make a file in folder %s; --file FOLDER uses another one", folder)
	case errors.Is(err, errReadOnlyDisk):
		return fmt.Errorf("folder %s is on a read-only file system; --file FOLDER uses another one", folder)
	case isDiskFull(err):
		return fmt.Errorf("the disk of folder %s is full; --file FOLDER uses another one", folder)
	}
	return fmt.Errorf("make a file in folder %s: %w", folder, plain(err))
}
