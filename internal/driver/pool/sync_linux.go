package pool

import "golang.org/x/sys/unix"

func fsync(fd int) error     { return unix.Fsync(fd) }
func fdatasync(fd int) error { return unix.Fdatasync(fd) }

func fallocate(fd int, mode uint32, off, size int64) error {
	return unix.Fallocate(fd, mode, off, size)
}

func fadvise(fd int, off, size int64, advice uint32) error {
	return unix.Fadvise(fd, off, size, int(advice))
}
