package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringport/ringport"
)

const (
	layoutChunk   = int64(4) << 20
	layoutWriters = 4
)

// layouter writes a new file's content: random, so that no file system makes holes of it and no disk compresses it, and
// stamped.
type layouter struct {
	b        *benchFile
	ctx      context.Context
	least    int64
	deadline time.Time // zero: none
	next     atomic.Int64
	done     func(n int64)
	mu       sync.Mutex // over err and done
	written  int64
	err      error
}

// layOut fills b up to its size, or if limit is not zero, as far as it gets in that time, but to the least size anyway. It
// returns the size reached, all of which is on the disk. Done is called with the bytes written so far.
func layOut(ctx context.Context, b *benchFile, least int64, limit time.Duration, done func(int64)) (int64, error) {
	l := &layouter{b: b, ctx: ctx, least: least, done: done}
	if limit != 0 {
		l.deadline = time.Now().Add(limit)
	}
	var wg sync.WaitGroup
	for range layoutWriters {
		wg.Go(l.write)
	}
	wg.Wait()
	if l.err == nil && l.written < b.size {
		l.err = b.f.Truncate(l.written)
	}
	if l.err == nil {
		l.err = b.f.Sync()
	}
	if isDiskFull(l.err) {
		return 0, fmt.Errorf("the disk is full: there is no room for the %s of the %s; --size sets another size (%w)",
			formatSize(b.size), b.title, plain(l.err))
	}
	return l.written, plain(l.err)
}

// write takes chunk after chunk. Chunks are taken in order and each is written once taken, so that those taken before the
// deadline are the whole file.
func (l *layouter) write() {
	buf := ringport.AlignedBuffer(int(layoutChunk))
	rng := rand.NewPCG(rand.Uint64(), rand.Uint64())
	for l.more() {
		off := l.next.Add(layoutChunk) - layoutChunk
		n := min(layoutChunk, l.b.size-off)
		if n <= 0 {
			return
		}
		fillRandom(buf[:n], rng)
		stamp(buf[:n], off)
		_, err := l.b.f.WriteAt(buf[:n], off)
		if err == nil && !l.b.direct && off%(16*layoutChunk) == 0 {
			err = l.b.f.Sync() // from time to time, so that the deadline is of the disk's speed and not the cache's
		}
		l.account(n, err)
	}
}

func (l *layouter) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && l.ctx.Err() != nil {
		l.err = context.Cause(l.ctx)
	}
	return l.err == nil && (l.deadline.IsZero() || l.next.Load() < l.least || time.Now().Before(l.deadline))
}

func (l *layouter) account(n int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.err == nil {
			l.err = err
		}
		return
	}
	l.written += n
	l.done(l.written)
}
