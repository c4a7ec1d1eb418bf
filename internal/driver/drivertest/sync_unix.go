//go:build unix

package drivertest

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

var syncTests = []test{
	{name: "Fsync", run: func(f *fixture) { fsync(f, driver.Fsync) }},
	{name: "Fdatasync", run: func(f *fixture) { fsync(f, driver.Fdatasync) }},
	{name: "Truncate", run: truncate},
}

func fsync(f *fixture, k driver.Kind) {
	path := f.tempFile("")
	file := f.openFile(path, unix.O_RDWR)
	for range 10 {
		f.must(write(file, "content", 0), 7)
		f.must(&driver.Request{Kind: k, FD: file}, 0)
	}
	f.fails(&driver.Request{Kind: k, FD: badHandle}, unix.EBADF)
	r, _ := f.pipe()
	if n, err := f.do(&driver.Request{Kind: k, FD: r}); n != 0 || err != unix.EINVAL && err != unix.ENOTSUP {
		f.Errorf("%v of a pipe: %d, %v", k, n, err)
	}
}

func truncate(f *fixture) {
	path := f.tempFile("0123456789")
	file := f.openFile(path, unix.O_RDWR)
	for _, c := range []struct {
		length int64
		want   string
	}{{4, "0123"}, {4, "0123"}, {6, "0123\x00\x00"}, {0, ""}} {
		if f.must(&driver.Request{Kind: driver.Truncate, FD: file, Len: c.length}, 0); f.content(path) != c.want {
			f.Errorf("cut to %d: %q", c.length, f.content(path))
		}
	}
	f.fails(&driver.Request{Kind: driver.Truncate, FD: file, Len: -1}, unix.EINVAL)
	f.fails(&driver.Request{Kind: driver.Truncate, FD: f.openFile(path, unix.O_RDONLY), Len: 1}, unix.EINVAL)
	f.fails(&driver.Request{Kind: driver.Truncate, FD: badHandle, Len: 1}, unix.EBADF)
	r, _ := f.pipe()
	f.fails(&driver.Request{Kind: driver.Truncate, FD: r, Len: 1}, unix.EINVAL)
}
