//go:build !unix

package copytree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

const (
	errDiskFull    = syscall.ENOSPC
	errQuota       = syscall.EDQUOT
	adviceDontNeed = 0
)

func isFull(err error) bool { return errors.Is(err, errDiskFull) }

// fileID: package os alone can tell files apart here. Names of one file are copied as files.
type fileID struct{}

func (fileID) known() bool { return false }

// status is what a file is, apart from its content. Sizes in bytes.
type status struct {
	mode               fs.FileMode
	size               int64
	accessed, modified time.Time
	id                 fileID
	links              uint64
}

func statusOf(path string) (status, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return status{}, err
	}
	return newStatus(info), nil
}

// newStatus: a copy counts as read when it was last written.
func newStatus(info fs.FileInfo) status {
	return status{mode: info.Mode(), size: info.Size(), accessed: info.ModTime(), modified: info.ModTime()}
}

func openOriginal(ctx context.Context, m *ringport.Manager, path string) (*ringport.File, status, error) {
	f, err := m.OpenFile(ctx, path, os.O_RDONLY, 0)
	if err != nil {
		return nil, status{}, err
	}
	info, err := f.WithContext(ctx).Stat()
	if err != nil {
		f.Close()
		return nil, status{}, err
	}
	return f, newStatus(info), nil
}

func createUnfinished(ctx context.Context, m *ringport.Manager, path, _ string) (*ringport.File, error) {
	return m.OpenFile(ctx, path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// rename takes away the temporary name of what has become final.
func rename(tmp, final string) error {
	if err := os.Rename(tmp, final); err != nil {
		return &fs.PathError{Op: "rename", Path: final, Err: causeOf(err)}
	}
	return nil
}

// give makes path's mode and times those of st.
func (st *status) give(path string) error {
	if st.mode&fs.ModeSymlink != 0 {
		return nil
	}
	return errors.Join(os.Chtimes(path, st.accessed, st.modified), os.Chmod(path, st.mode))
}

// syncFolder: there is no such thing here; a name is there when its file is.
func syncFolder(context.Context, *ringport.Manager, string) error { return nil }
