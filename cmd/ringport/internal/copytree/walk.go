package copytree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

var (
	errSpecial    = errors.New("only files, folders and symbolic links are copied")
	errInTheWay   = errors.New("something that is no folder has this name")
	errIsFolder   = errors.New("a folder has this name")
	errIsSpecial  = errors.New("a device, FIFO or socket has this name, and only files are made")
	errSameFile   = errors.New("this is the original")
	errIntoItself = errors.New("this is where it is copied to")
)

// temporary is a name for what is unfinished, beside its final one. It is short: the final one may be as long as a name can be.
func temporary(final string) string {
	return filepath.Join(filepath.Dir(final), fmt.Sprintf(".ringport-%016x", rand.Uint64()))
}

// start walks one source.
func (c *copier) start(ctx context.Context, t task) {
	if t.err != nil {
		c.report(ctx, t.err)
		return
	}
	st, err := statusOf(t.from)
	if err != nil {
		c.report(ctx, err)
		return
	}
	c.target = fileID{}
	c.walk(ctx, job{from: t.from, to: t.to}, st.mode.Type())
}

// walk copies an entry: folders and symbolic links on the spot, files by the workers.
func (c *copier) walk(ctx context.Context, j job, kind fs.FileMode) {
	if ctx.Err() != nil {
		return
	}
	switch kind {
	case fs.ModeDir:
		c.folder(ctx, j)
	case 0:
		select {
		case c.jobs <- j:
		case <-ctx.Done():
		}
	case fs.ModeSymlink:
		c.report(ctx, c.symlink(j))
	default:
		c.report(ctx, &fs.PathError{Op: "copy", Path: j.from, Err: errSpecial})
	}
}

func (c *copier) folder(ctx context.Context, j job) {
	st, err := statusOf(j.from)
	if err != nil {
		c.report(ctx, err)
		return
	}
	if st.id == c.target && c.target.known() { // reached by another way, such as a second mount
		c.report(ctx, &fs.PathError{Op: "copy", Path: j.from, Err: errIntoItself})
		return
	}
	made, err := makeFolder(j.to)
	if err != nil {
		c.report(ctx, err)
		return
	}
	if !c.target.known() {
		if to, err := statusOf(j.to); err == nil {
			c.target = to.id
		}
	}
	c.folders = append(c.folders, folder{j.to, st})
	entries, err := readFolder(j.from)
	c.report(ctx, err)
	for _, e := range entries {
		c.walk(ctx, job{filepath.Join(j.from, e.name), filepath.Join(j.to, e.name), made}, e.kind)
	}
}

// entry is what a folder says of one thing in it: its name and what kind of file it is, the type bits of its mode.
type entry struct {
	name string
	kind fs.FileMode
}

// makeFolder makes a folder, unless it is there. A link to one is not one: what a copy fills is where it was sent.
func makeFolder(path string) (made bool, err error) {
	// Nobody else has any business in it yet; finish says what its mode is.
	err = os.Mkdir(path, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	if there, err := os.Lstat(path); err != nil || !there.IsDir() {
		return false, &fs.PathError{Op: "mkdir", Path: path, Err: errInTheWay}
	}
	return false, nil
}

// inTheWay is what already has the name that a file or link goes to, if it cannot be replaced, or why there can be no such
// name.
func (j *job) inTheWay() error {
	if j.fresh {
		return nil
	}
	there, err := os.Lstat(j.to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.IsDir():
		return &fs.PathError{Op: "copy", Path: j.to, Err: errIsFolder}
	case !there.Mode().IsRegular() && there.Mode()&fs.ModeSymlink == 0:
		return &fs.PathError{Op: "copy", Path: j.to, Err: errIsSpecial}
	}
	if original, err := os.Stat(j.from); err == nil && os.SameFile(original, there) {
		return &fs.PathError{Op: "copy", Path: j.to, Err: errSameFile}
	}
	return nil
}

func (c *copier) symlink(j job) error {
	st, err := statusOf(j.from)
	if err != nil {
		return err
	}
	behind, err := os.Readlink(j.from)
	if err != nil {
		return err
	}
	if err := j.inTheWay(); err != nil {
		return err
	}
	return replace(j.to, func(tmp string) error {
		if err := symlink(behind, tmp, st); err != nil {
			return &fs.PathError{Op: "symlink", Path: j.to, Err: causeOf(err)}
		}
		return st.give(tmp)
	})
}

// link gives a copy another name, as its original has.
func (c *copier) link(l link) error {
	return replace(l.to, func(tmp string) error {
		if err := os.Link(l.first, tmp); err != nil {
			return &fs.PathError{Op: "link", Path: l.to, Err: causeOf(err)}
		}
		return nil
	})
}

// replace puts what f makes under a temporary name under its final one.
func replace(final string, f func(tmp string) error) error {
	tmp := temporary(final)
	err := f(tmp)
	if err == nil {
		err = rename(tmp, final)
	}
	os.Remove(tmp) // after a rename it is there only if both were names of one file already
	return err
}

// causeOf takes the names off an error of package os.
func causeOf(err error) error {
	if link := new(os.LinkError); errors.As(err, &link) {
		return link.Err
	}
	if path := new(fs.PathError); errors.As(err, &path) {
		return path.Err
	}
	return err
}
