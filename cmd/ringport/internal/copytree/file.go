package copytree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/ringport/ringport"
)

// errShrank says that a file got shorter while it was copied.
var errShrank = errors.New("the file became shorter while it was copied")

// errDiffers says that --verify found a difference.
var errDiffers = errors.New("the copy differs from the original")

// temporary is a name for an unfinished file beside its final one.
func temporary(final string) string {
	return filepath.Join(filepath.Dir(final), fmt.Sprintf(".ringport-%016x", rand.Uint64()))
}

var blocks = sync.Pool{New: func() any { b := make([]byte, blockBytes); return &b }}

// file copies one file: whole, or not at all.
func (c *copier) file(j job) (err error) {
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	from, err := c.m.OpenFile(c.ctx, j.from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	tmp := temporary(j.to)
	to, err := c.m.OpenFile(c.ctx, tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if to != nil {
			err = errors.Join(err, to.Close())
		}
		if err != nil {
			os.Remove(tmp)
		}
	}()
	if err := c.content(from, to, j.info.Size()); err != nil {
		return err
	}
	if c.options.Sync || c.options.Verify {
		if err := to.WithContext(c.ctx).Sync(); err != nil {
			return err
		}
	}
	if c.options.Verify {
		if err := c.verify(from, to); err != nil {
			return &fs.PathError{Op: "verify", Path: j.to, Err: err}
		}
	}
	closing := to
	to = nil
	if err := closing.Close(); err != nil {
		return err
	}
	if err := keep(tmp, j.info); err != nil {
		return err
	}
	if err := os.Rename(tmp, j.to); err != nil {
		return err
	}
	if c.options.Sync {
		if err := syncFolder(filepath.Dir(j.to)); err != nil {
			return err
		}
	}
	c.progress.Files.Add(1)
	return nil
}

// content copies what is in a file: in one goroutine if it is a block or less, else several blocks at a time. Holes stay holes.
func (c *copier) content(from, to *ringport.File, size int64) error {
	// Without a cancel, reads of a lone file run on this goroutine; a stop is looked at before each block.
	parts := segments(from.Fd(), size)
	end := int64(0)
	for _, s := range parts {
		if err := c.segment(from, to, s); err != nil {
			return err
		}
		end = s.end
	}
	// A hole that goes to the end may be the end that somebody moved.
	if info, err := from.Stat(); err != nil {
		return err
	} else if info.Size() < size {
		return &fs.PathError{Op: "copy", Path: from.Name(), Err: errShrank}
	}
	c.progress.Bytes.Add(size - covered(parts)) // the holes
	if end < size {
		return to.Truncate(size)
	}
	return nil
}

// segment is a part of a file that has data.
type segment struct{ start, end int64 }

func covered(parts []segment) (n int64) {
	for _, s := range parts {
		n += s.end - s.start
	}
	return n
}

// segment copies one part.
func (c *copier) segment(from, to *ringport.File, s segment) error {
	n := int((s.end - s.start + blockBytes - 1) / blockBytes)
	if n <= 1 {
		return c.block(from, to, s.start, s.end)
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, blocksAtOnce) {
		wg.Go(func() {
			for ctx.Err() == nil {
				start := s.start + (next.Add(1)-1)*blockBytes
				if start >= s.end {
					return
				}
				if err := c.block(from, to, start, min(start+blockBytes, s.end)); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// block copies the bytes from start to end.
func (c *copier) block(from, to *ringport.File, start, end int64) error {
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	if start == end {
		return nil
	}
	b := blocks.Get().(*[]byte)
	defer blocks.Put(b)
	buf := (*b)[:end-start]
	if n, err := from.ReadAt(buf, start); n < len(buf) {
		if err == io.EOF {
			err = &fs.PathError{Op: "copy", Path: from.Name(), Err: errShrank}
		}
		return err
	}
	if _, err := to.WriteAt(buf, start); err != nil {
		return err
	}
	c.progress.Bytes.Add(int64(len(buf)))
	return nil
}

// verify reads both files again, the copy from the disk, and compares checksums. The copy has been synced.
func (c *copier) verify(from, to *ringport.File) error {
	c.forget(to)
	a, err := c.checksum(from)
	if err != nil {
		return err
	}
	b, err := c.checksum(to)
	if err != nil {
		return err
	}
	if a != b {
		return errDiffers
	}
	return nil
}

// forget drops a file from the page cache, where the system can, so that the next read comes from the disk.
func (c *copier) forget(f *ringport.File) {
	op := ringport.Fadvise(ringport.Handle(f.Fd()), 0, 0, adviceDontNeed)
	c.m.Do(c.ctx, &op) // advice: no error matters
}

func (c *copier) checksum(f *ringport.File) (sum [sha256.Size]byte, err error) {
	b := blocks.Get().(*[]byte)
	defer blocks.Put(b)
	h := sha256.New()
	for off := int64(0); ; off += blockBytes {
		if c.ctx.Err() != nil {
			return sum, c.ctx.Err()
		}
		n, err := f.ReadAt(*b, off)
		h.Write((*b)[:n])
		if err == io.EOF {
			return [sha256.Size]byte(h.Sum(nil)), nil
		}
		if err != nil {
			return sum, err
		}
	}
}
