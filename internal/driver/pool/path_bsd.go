//go:build unix && !linux && !darwin

package pool

import "github.com/ringport/ringport/internal/driver"

func renameWithFlags(dir int, path string, dir2 int, path2 string, flags uint32) error {
	return driver.ErrUnsupported
}
