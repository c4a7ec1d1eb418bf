// Package copytree copies files and trees with many reads and writes in flight.
//
// One goroutine walks the sources and makes the folders; a fixed number of others copy the files it finds, each under a
// temporary name in the folder it belongs to, and rename it when it is complete. Large files are copied in blocks, several
// at a time. What a copy needs of the disk thus overlaps, while the file system sees nothing that cp would not do.
package copytree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/ringport/ringport"
)

// Options say how to copy. The zero value copies like cp -a, without owners.
type Options struct {
	Verify bool // read both files again, the copy from the disk, and compare checksums
	Sync   bool // everything is on the disk before Copy returns, names included
	// OnError is told each failure of a file or folder; Copy goes on with the others. It may be called from several
	// goroutines. Nil: failures are only counted.
	OnError func(error)
}

// Progress is what a copy has done so far. It may be read while the copy runs.
type Progress struct {
	Files, FilesFound atomic.Int64 // files copied, and found so far
	Bytes, BytesFound atomic.Int64 // their sizes
	Walked            atomic.Bool  // everything is found
	Failed            atomic.Int64 // files and folders that could not be copied
}

const (
	workers      = 32
	blockBytes   = 1 << 20
	blocksAtOnce = 8 // of one file
)

// copier is one copy.
type copier struct {
	ctx      context.Context
	m        *ringport.Manager
	options  Options
	progress *Progress
	jobs     chan job

	// of the walker alone
	folders []folder
	links   []link
	seen    map[fileID]string // files with several names: where the first went
}

// job is one file to copy.
type job struct {
	from, to string
	info     fs.FileInfo
}

// folder is a folder whose mode and times are set when everything in it is there.
type folder struct {
	path string
	info fs.FileInfo
}

// link is another name of a file that is copied under the name target.
type link struct{ target, to string }

// Copy copies sources to target: into it if it is a folder, else as it, which takes a single source. Symbolic links are copied
// as links, other names of one file as such, modes and times are kept. A file that fails, and every file that is unfinished when
// ctx ends, leaves nothing behind under its final name. The error is the context's cause, or says how many failed.
func Copy(ctx context.Context, m *ringport.Manager, sources []string, target string, o Options, p *Progress) error {
	targets, err := resolve(sources, target)
	if err != nil {
		return err
	}
	c := &copier{ctx: ctx, m: m, options: o, progress: p, jobs: make(chan job, 4*workers), seen: map[fileID]string{}}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for j := range c.jobs {
				c.report(c.file(j))
			}
		})
	}
	for i, source := range sources {
		c.walk(source, targets[i])
	}
	p.Walked.Store(true)
	close(c.jobs)
	wg.Wait()
	c.finish()
	switch n := p.Failed.Load(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case n == 1:
		return errors.New("1 file or folder was not copied")
	case n > 1:
		return fmt.Errorf("%d files and folders were not copied", n)
	}
	return nil
}

// resolve says where each source goes, by cp's rules.
func resolve(sources []string, target string) ([]string, error) {
	if len(sources) == 0 {
		return nil, errors.New("nothing to copy")
	}
	info, err := os.Stat(target)
	isFolder := err == nil && info.IsDir()
	if len(sources) > 1 && !isFolder {
		return nil, fmt.Errorf("%s is not a folder, and there are several sources", target)
	}
	targets := make([]string, len(sources))
	for i, source := range sources {
		targets[i] = target
		if isFolder {
			name, err := filepath.Abs(source) // "." has a name too
			if err != nil {
				return nil, err
			}
			targets[i] = filepath.Join(target, filepath.Base(name))
		}
		if err := inside(source, targets[i]); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// inside refuses to copy a thing onto itself, or a folder into itself, which would not end.
func inside(source, target string) error {
	from, err := os.Lstat(source)
	if err != nil {
		return err
	}
	if to, err := os.Lstat(target); err == nil && os.SameFile(from, to) {
		return fmt.Errorf("%s and %s are the same", source, target)
	}
	if !from.IsDir() {
		return nil
	}
	path, err := filepath.Abs(target)
	if err != nil {
		return err
	}
	for parent := filepath.Dir(path); ; parent = filepath.Dir(parent) {
		if to, err := os.Stat(parent); err == nil && os.SameFile(from, to) {
			return fmt.Errorf("%s lies in %s, which is to be copied there", target, source)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

// report counts and passes on a failure. What fails because the copy is stopped is no failure of the file.
func (c *copier) report(err error) {
	if err == nil || c.ctx.Err() != nil {
		return
	}
	c.progress.Failed.Add(1)
	if c.options.OnError != nil {
		c.options.OnError(explain(err))
	}
}

// explain says in plain words what users meet most.
func explain(err error) error {
	if errors.Is(err, errDiskFull) {
		return fmt.Errorf("the disk is full: %w", err)
	}
	return err
}

// walk copies from to to: folders and symbolic links on the spot, files by the workers.
func (c *copier) walk(from, to string) {
	if c.ctx.Err() != nil {
		return
	}
	info, err := os.Lstat(from)
	if err != nil {
		c.report(err)
		return
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		c.folder(from, to, info)
	case mode.IsRegular():
		c.found(job{from, to, info})
	case mode&fs.ModeSymlink != 0:
		c.report(c.symlink(from, to))
	default:
		c.report(&fs.PathError{Op: "copy", Path: from, Err: errors.New("not a file, a folder or a symbolic link")})
	}
}

func (c *copier) folder(from, to string, info fs.FileInfo) {
	// Its owner must be able to write into it meanwhile; finish sets the right mode.
	if err := os.Mkdir(to, info.Mode().Perm()|0o700); err != nil {
		if there, statErr := os.Stat(to); statErr != nil || !there.IsDir() {
			c.report(err)
			return
		}
	}
	c.folders = append(c.folders, folder{to, info})
	entries, err := os.ReadDir(from)
	if err != nil {
		c.report(err)
	}
	for _, e := range entries {
		c.walk(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
	}
}

// found hands a file to the workers, or keeps it for finish if it is another name of one that they have.
func (c *copier) found(j job) {
	if id, ok := identity(j.info); ok {
		if first, ok := c.seen[id]; ok {
			c.links = append(c.links, link{first, j.to})
			return
		}
		c.seen[id] = j.to
	}
	c.progress.FilesFound.Add(1)
	c.progress.BytesFound.Add(j.info.Size())
	select {
	case c.jobs <- j:
	case <-c.ctx.Done():
	}
}

func (c *copier) symlink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	tmp := temporary(to)
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, to); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}

// finish makes the hard links, then sets modes and times of the folders, innermost first, since each change in a folder
// changes its time.
func (c *copier) finish() {
	if c.ctx.Err() != nil {
		return
	}
	for _, l := range c.links {
		tmp := temporary(l.to)
		err := os.Link(l.target, tmp)
		if err == nil {
			if err = os.Rename(tmp, l.to); err != nil {
				os.Remove(tmp)
			}
			os.Remove(tmp) // rename leaves both names where they are the same file already
		}
		c.report(err)
	}
	for i := len(c.folders) - 1; i >= 0; i-- {
		f := c.folders[i]
		err := keep(f.path, f.info)
		if err == nil && c.options.Sync {
			err = syncFolder(f.path)
		}
		c.report(err)
	}
}

// keep gives a file or folder the mode and the times of the original.
func keep(path string, info fs.FileInfo) error {
	if err := os.Chmod(path, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	return os.Chtimes(path, accessTime(info), info.ModTime())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
