package pool

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// BenchmarkCachedRead compares the ways to read 4 KiB from the page cache.
func BenchmarkCachedRead(b *testing.B) {
	const block, blocks = 4096, 256
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, block*blocks), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	ways := []struct {
		name string
		read func(r *driver.Request) bool
	}{
		{"TryCached", func(r *driver.Request) bool {
			n, ok := TryCached(fd, r.Buf, r.Off)
			return ok && n == block
		}},
		{"Exec", func(r *driver.Request) bool {
			Exec(r)
			return r.N == block
		}},
		{"unix.Pread", func(r *driver.Request) bool {
			n, err := unix.Pread(fd, r.Buf, r.Off)
			return n == block && err == nil
		}},
		{"os.File.ReadAt", func(r *driver.Request) bool {
			n, err := f.ReadAt(r.Buf, r.Off)
			return n == block && err == nil
		}},
	}
	for _, goroutines := range []int{1, 2} {
		for _, way := range ways {
			b.Run(way.name+"/"+string(rune('0'+goroutines)), func(b *testing.B) {
				b.SetBytes(block)
				b.ReportAllocs()
				var failed atomic.Bool
				var wg sync.WaitGroup
				for g := range goroutines {
					wg.Go(func() {
						r := &driver.Request{Kind: driver.Read, Flags: driver.Regular, FD: driver.Handle(fd), Buf: make([]byte, block)}
						for i := range b.N / goroutines {
							r.Off = int64((i*7 + g) % blocks * block)
							if !way.read(r) {
								failed.Store(true)
								return
							}
						}
					})
				}
				if wg.Wait(); failed.Load() {
					b.Fatal("a read failed")
				}
			})
		}
	}
}

// BenchmarkRoundTrip is what a request costs beyond its system call: through a worker, and through the poller.
func BenchmarkRoundTrip(b *testing.B) {
	d, err := Open(driver.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		b.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	in, out := driver.Handle(p[0]), driver.Handle(p[1])
	batch := make([]*driver.Request, 4)
	run := func(name string, rs ...*driver.Request) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				left := len(rs)
				for _, r := range rs {
					if d.Submit(r) {
						left--
					}
				}
				for left > 0 {
					n, _ := d.Wait(batch, -1)
					left -= n
				}
			}
		})
	}
	run("worker", &driver.Request{Kind: driver.Truncate, FD: in}) // EINVAL
	run("ready pipe", writing(out, "data"), reading(in, 4))
	run("waiting pipe", reading(in, 4), writing(out, "data"))
}
