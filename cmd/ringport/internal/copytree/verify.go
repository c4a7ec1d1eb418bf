package copytree

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/cespare/xxhash/v2"

	"github.com/ringport/ringport"
)

var errDiffers = errors.New("the copy differs from the original")

// verify reads size bytes of both files again, the copy from the disk, and compares the checksums of each block.
func (c *copier) verify(ctx context.Context, from, to *ringport.File, size int64) error {
	differs := &fs.PathError{Op: "verify", Path: to.Name(), Err: errDiffers}
	if err := c.forget(ctx, to); err != nil {
		return err
	}
	err := c.inBlocks(ctx, segment{0, size}, func(ctx context.Context, buf []byte, off int64) error {
		original, err := checksum(ctx, from, buf, off)
		if err == nil {
			var copied uint64
			if copied, err = checksum(ctx, to, buf, off); err == nil && copied != original {
				return differs
			}
		}
		if err == io.EOF {
			return differs
		}
		c.progress.Verified.Add(int64(len(buf)))
		return err
	})
	if err != nil {
		return err
	}
	for _, f := range []*ringport.File{from, to} {
		if _, err := f.WithContext(ctx).ReadAt(make([]byte, 1), size); err == nil {
			return differs // there is more
		} else if err != io.EOF {
			return err
		}
	}
	return nil
}

// forget has the system write a file to the disk and drop it from its cache, where it can, so that what is read next comes
// from the disk.
func (c *copier) forget(ctx context.Context, f *ringport.File) error {
	if err := f.WithContext(ctx).Datasync(); err != nil {
		return err
	}
	op := ringport.Fadvise(ringport.Handle(f.Fd()), 0, 0, adviceDontNeed)
	c.m.Do(ctx, &op) // it is advice: not to be able to is no failure
	return nil
}

// checksum is that of what fills buf at off.
func checksum(ctx context.Context, f *ringport.File, buf []byte, off int64) (uint64, error) {
	if _, err := f.WithContext(ctx).ReadAt(buf, off); err != nil {
		return 0, err
	}
	return xxhash.Sum64(buf), nil
}
