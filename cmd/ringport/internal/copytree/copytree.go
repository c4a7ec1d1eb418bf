// Package copytree copies files and trees with many reads and writes in flight.
//
// One goroutine walks the sources and makes the folders; a fixed number of others copy the files it finds, each under a
// temporary name in the folder it belongs to, and rename it when it is complete. Large files are copied in blocks, several
// at a time. What a copy needs of the disk thus overlaps.
package copytree

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/ringport/ringport"
)

// Options say how to copy. The zero value copies as Copy says, and leaves it to the system when that reaches the disk.
type Options struct {
	Verify bool // read the original again and the copy from the disk, and compare their checksums
	Sync   bool // everything is on the disk before Copy returns, names included
	// OnError is told what could not be copied; Copy goes on with the rest. It is called from several goroutines, one at a
	// time. Nil: failures are only counted.
	OnError func(error)

	onBlock func(name string, off int64) // for tests: a block was written
}

// Progress is what a copy has done so far. It may be read while the copy runs.
type Progress struct {
	Files    atomic.Int64 // files copied
	Bytes    atomic.Int64 // their sizes
	Moved    atomic.Int64 // bytes copied, holes included, also of files that are unfinished or failed
	Verified atomic.Int64 // bytes compared, the same
	Failed   atomic.Int64 // files, folders and links that could not be copied
}

// The queue. Measured on a virtual disk with 2 processors, against cold caches: blocks that stay in a processor's own cache on
// their way from one file to the other beat those of 1 MiB, and more than 16 at a time gain nothing.
const (
	blockBytes = 128 << 10
	depth      = 16 // blocks in flight, and files that are worked on
)

// copier is one copy.
type copier struct {
	m        *ringport.Manager
	options  Options
	progress *Progress
	jobs     chan job
	buffers  chan []byte // whoever moves data takes one: there are as many as blocks may be in flight

	// The walker's own.
	folders []folder
	target  fileID // the folder that the present source goes to

	mu    sync.Mutex        // also held while OnError runs
	seen  map[fileID]string // files with several names: where the first goes
	links []link            // the others, to be made when the first is there
}

// job is one file to copy.
type job struct {
	from, to string
	fresh    bool // to's folder was made by this copy
}

// folder is one whose owner, mode and times are set when everything in it is there.
type folder struct {
	path     string
	original status
}

// link is another name of a file that is copied to the name first.
type link struct{ first, to string }

// reason is what an error of the system means to a user.
type reason struct {
	err  error
	text string
}

// Copy copies sources to target: into it if it is a folder, else as it, which takes a single source. Permissions and times are
// kept, owners where the system permits that, holes where it shows them; symbolic links are copied as links, and names of one
// file as names of one file. Other kinds of files are failures, and so is what could not be read or written.
//
// Until a file is complete it has a temporary name, and a file that fails, or is unfinished when ctx ends, is removed. A file
// that was there already is replaced by its copy, and not written to. The error is ctx's cause, or says how many failed.
func Copy(ctx context.Context, m *ringport.Manager, sources []string, target string, o Options, p *Progress) error {
	tasks, err := plan(sources, target)
	if err != nil {
		return err
	}
	c := newCopier(m, o, p)
	var files sync.WaitGroup
	for range depth {
		files.Go(func() {
			for j := range c.jobs {
				c.report(ctx, c.file(ctx, j))
			}
		})
	}
	for _, t := range tasks {
		c.start(ctx, t)
	}
	close(c.jobs)
	files.Wait()
	c.finish(ctx, tasks)
	switch n := p.Failed.Load(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case n == 1:
		return errors.New("not everything was copied: 1 error")
	case n > 1:
		return fmt.Errorf("not everything was copied: %d errors", n)
	}
	return nil
}

func newCopier(m *ringport.Manager, o Options, p *Progress) *copier {
	c := &copier{m: m, options: o, progress: p, jobs: make(chan job, 16*depth), buffers: make(chan []byte, depth),
		seen: map[fileID]string{}}
	for range depth {
		c.buffers <- ringport.AlignedBuffer(blockBytes)
	}
	return c
}

// report counts and passes on a failure. What fails because the copy is stopped is no failure of the file.
func (c *copier) report(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	c.progress.Failed.Add(1)
	if c.options.OnError != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.options.OnError(explain(err))
	}
}

// explain says in plain words what users meet most.
func explain(err error) error {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return fmt.Errorf("%s: %w", r.text, err)
		}
	}
	return err
}

// finish makes the links, then gives the folders their attributes, innermost first, since each change in a folder changes
// its time; and sees to it that the names are on the disk.
func (c *copier) finish(ctx context.Context, tasks []task) {
	for _, l := range c.links {
		if ctx.Err() == nil {
			c.report(ctx, c.link(l))
		}
	}
	for i := len(c.folders) - 1; i >= 0; i-- {
		c.report(ctx, c.folders[i].original.give(c.folders[i].path))
	}
	if !c.options.Sync || ctx.Err() != nil {
		return
	}
	paths := map[string]bool{}
	for _, f := range c.folders {
		paths[f.path] = true
	}
	for _, t := range tasks {
		paths[filepath.Dir(t.to)] = true
	}
	var syncs sync.WaitGroup
	free := make(chan struct{}, depth)
	for path := range paths {
		free <- struct{}{}
		syncs.Go(func() {
			c.report(ctx, syncFolder(ctx, c.m, path))
			<-free
		})
	}
	syncs.Wait()
}
