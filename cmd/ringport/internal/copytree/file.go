package copytree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/ringport/ringport"
)

var errShrank = errors.New("it became shorter while it was copied")

// file copies one file, or leaves it to finish if it is another name of one that is being copied.
func (c *copier) file(ctx context.Context, j job) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	from, st, err := openOriginal(ctx, c.m, j.from)
	if err != nil {
		return err
	}
	defer from.Close()
	if !st.mode.IsRegular() { // it was when it was found
		return &fs.PathError{Op: "copy", Path: j.from, Err: errSpecial}
	}
	if st.links > 1 && !c.first(j, st) {
		return nil
	}
	if err := j.inTheWay(); err != nil {
		return err
	}
	return c.whole(ctx, from, st, j.to)
}

// first reports whether j is the first name of its file; for the others finish makes links.
func (c *copier) first(j job, st status) bool {
	if !st.id.known() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.seen[st.id]; ok {
		c.links = append(c.links, link{first, j.to})
		return false
	}
	c.seen[st.id] = j.to
	return true
}

// whole copies a file: all of it, or nothing.
func (c *copier) whole(ctx context.Context, from *ringport.File, st status, final string) (err error) {
	tmp := temporary(final)
	to, err := createUnfinished(ctx, c.m, tmp, final)
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			to.Close()
		}
		if err != nil {
			os.Remove(tmp)
		}
	}()
	size, err := c.content(ctx, from, to, st)
	if err != nil {
		return err
	}
	if c.options.Verify {
		if err := c.verify(ctx, from, to, tmp, size); err != nil {
			return err
		}
	}
	// A copy without its attributes is better than none; it is a failure all the same.
	lacks := st.giveOpen(to, tmp)
	if c.options.Sync {
		if err := to.WithContext(ctx).Sync(); err != nil {
			return err
		}
	}
	closed = true
	if err := to.Close(); err != nil { // where network file systems say that they could not write
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := rename(tmp, final); err != nil {
		return err
	}
	if lacks != nil {
		c.report(ctx, &fs.PathError{Op: "keep mode, owner and times of", Path: final, Err: causeOf(lacks)})
	}
	c.progress.Files.Add(1)
	c.progress.Bytes.Add(size)
	return nil
}

// content copies what is in a file, to the end that it has when that is reached, and returns how much that is.
func (c *copier) content(ctx context.Context, from, to *ringport.File, st status) (size int64, err error) {
	end := int64(0) // so far has been written
	if st.size > blockBytes {
		for _, s := range segments(from, st) {
			if err := c.segment(ctx, from, to, s); err != nil {
				return 0, err
			}
			c.progress.Moved.Add(s.start - end) // the hole before it
			end = s.end
		}
		size = st.size
	}
	hole := size - end
	n, err := c.tail(ctx, from, to, size)
	if err != nil {
		return 0, err
	}
	size += n
	// The end is in a hole, or came before its time. Files that do not know their size, as in /sys, may say more than they have.
	if n == 0 && hole > 0 || size < st.size || st.size > blockBytes {
		now, err := from.WithContext(ctx).Stat()
		if err != nil {
			return 0, err
		}
		if now.Size() < st.size {
			return 0, &fs.PathError{Op: "copy", Path: from.Name(), Err: errShrank}
		}
	}
	if n == 0 && hole > 0 {
		if err := to.WithContext(ctx).Truncate(size); err != nil {
			return 0, err
		}
	}
	c.progress.Moved.Add(hole)
	return size, nil
}

// tail copies what there is from off on, one block after the other, and returns how much that was. For most files, which are
// no longer than a block, it is all there is to do.
func (c *copier) tail(ctx context.Context, from, to *ringport.File, off int64) (n int64, err error) {
	buf := <-c.buffers
	defer func() { c.buffers <- buf }()
	for {
		got, err := from.WithContext(ctx).ReadAt(buf, off+n)
		if err != nil && err != io.EOF {
			return n, err
		}
		if got > 0 {
			if err := c.write(ctx, to, buf[:got], off+n); err != nil {
				return n, err
			}
			n += int64(got)
		}
		if err == io.EOF {
			return n, nil
		}
	}
}

func (c *copier) write(ctx context.Context, to *ringport.File, data []byte, off int64) error {
	if _, err := to.WithContext(ctx).WriteAt(data, off); err != nil {
		return err
	}
	c.progress.Moved.Add(int64(len(data)))
	if c.options.onBlock != nil {
		c.options.onBlock(to.Name(), off)
	}
	return nil
}

// segment is a part of a file that has data, in bytes from its start.
type segment struct{ start, end int64 }

// segment copies one part, many blocks at a time.
func (c *copier) segment(ctx context.Context, from, to *ringport.File, s segment) error {
	if s.end-s.start > blockBytes {
		// In one piece on the disk, whatever the order of the blocks; and a disk that is too small says so at once.
		if err := to.WithContext(ctx).Allocate(s.start, s.end-s.start); isFull(err) {
			return err
		}
	}
	return c.inBlocks(ctx, s, func(ctx context.Context, buf []byte, off int64) error {
		_, err := from.WithContext(ctx).ReadAt(buf, off)
		if err == io.EOF {
			err = &fs.PathError{Op: "copy", Path: from.Name(), Err: errShrank}
		}
		if err != nil {
			return err
		}
		return c.write(ctx, to, buf, off)
	})
}

// inBlocks calls f for each block of s, many at a time, with a buffer as long as the block. It ends with the first error.
func (c *copier) inBlocks(ctx context.Context, s segment, f func(ctx context.Context, buf []byte, off int64) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var blocks sync.WaitGroup
	for off := s.start; off < s.end && ctx.Err() == nil; off += blockBytes {
		buf := <-c.buffers
		blocks.Go(func() {
			if err := f(ctx, buf[:min(blockBytes, s.end-off)], off); err != nil {
				cancel(err)
			}
			c.buffers <- buf
		})
	}
	blocks.Wait()
	return context.Cause(ctx)
}
