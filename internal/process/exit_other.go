//go:build !linux && !windows && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package process

import "github.com/ringport/ringport/internal/driver"

// Exit tells when a process is over. There is no way to wait for that on this system.
type Exit struct{ Handle Handle }

// Open answers driver.ErrUnsupported.
func Open(int) (*Exit, error) { return nil, driver.ErrUnsupported }

// Of answers driver.ErrUnsupported.
func Of(Handle) (*Exit, error) { return nil, driver.ErrUnsupported }

// Status answers driver.ErrUnsupported.
func (*Exit) Status() (Status, error) { return Status{}, driver.ErrUnsupported }

// Close does nothing.
func (*Exit) Close() {}
