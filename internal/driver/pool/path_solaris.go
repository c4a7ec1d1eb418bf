package pool

import "github.com/ringport/ringport/internal/driver"

// linkat is what x/sys lacks here.
func linkat(dir int, path string, dir2 int, path2 string, flags int) error {
	return driver.ErrUnsupported
}
