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
// Path is where the copy is at present.
func (c *copier) verify(ctx context.Context, from, to *ringport.File, path string, size int64) error {
	differs := &fs.PathError{Op: "verify", Path: to.Name(), Err: errDiffers}
	stored, err := fromDisk(ctx, c.m, to, path)
	if err != nil {
		return err
	}
	if stored != to {
		defer stored.Close()
	}
	err = c.inBlocks(ctx, segment{0, size}, func(ctx context.Context, buf []byte, off int64) error {
		original, err := checksum(ctx, from, buf, off)
		if err == nil {
			var copied uint64
			if copied, err = checksum(ctx, stored, buf, off); err == nil && copied != original {
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
	last := size &^ (ringport.DirectAlignment - 1)
	for _, f := range []*ringport.File{from, stored} {
		n, err := f.WithContext(ctx).ReadAt(ringport.AlignedBuffer(ringport.DirectAlignment), last)
		if int64(n) > size-last {
			return differs // there is more
		}
		if err != io.EOF {
			return err
		}
	}
	return nil
}

// checksum is that of what fills buf at off. It asks for whole sectors, as is right past the cache too: buf is aligned, and has room for them.
func checksum(ctx context.Context, f *ringport.File, buf []byte, off int64) (uint64, error) {
	sectors := (len(buf) + ringport.DirectAlignment - 1) &^ (ringport.DirectAlignment - 1)
	if n, err := f.WithContext(ctx).ReadAt(buf[:sectors], off); n < len(buf) {
		return 0, err
	}
	return xxhash.Sum64(buf), nil
}
