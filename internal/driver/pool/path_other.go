//go:build unix && !linux

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func stat(fd int, path string, flags uint32, s *driver.FileStat) error {
	var st unix.Stat_t
	var err error
	if path == "" {
		err = unix.Fstat(fd, &st)
	} else {
		err = unix.Fstatat(fd, path, &st, int(flags))
	}
	if err != nil {
		return err
	}
	*s = driver.StatOf(&st)
	s.BirthTime = birthTime(&st)
	return nil
}
