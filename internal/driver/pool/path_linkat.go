//go:build unix && !solaris

package pool

import "golang.org/x/sys/unix"

func linkat(dir int, path string, dir2 int, path2 string, flags int) error {
	return unix.Linkat(dir, path, dir2, path2, flags)
}
