//go:build !unix && !windows

package process

import (
	"os"
	"syscall"

	"github.com/ringport/ringport/internal/driver"
)

// Tree is a child with its descendants, which this system does not know.
type Tree struct{}

// NewTree answers driver.ErrUnsupported.
func NewTree() (*Tree, error) { return nil, driver.ErrUnsupported }

// Prepare answers driver.ErrUnsupported.
func (*Tree) Prepare(*syscall.SysProcAttr) (*syscall.SysProcAttr, error) {
	return nil, driver.ErrUnsupported
}

// Started answers driver.ErrUnsupported.
func (*Tree) Started(*os.Process) error { return driver.ErrUnsupported }

// Kill answers driver.ErrUnsupported.
func (*Tree) Kill() error { return driver.ErrUnsupported }

// Close does nothing.
func (*Tree) Close() {}

// Kill ends a child.
func Kill(p *os.Process) error { return p.Kill() }

// Pipe answers driver.ErrUnsupported.
func Pipe(bool) (Handle, *os.File, error) { return 0, nil, driver.ErrUnsupported }

// Ready has nothing to ask.
func Ready(Handle) bool { return false }

// Over reports false.
func (*Exit) Over() bool { return false }

// Inheritable answers driver.ErrUnsupported.
func Inheritable(Handle, string) (*os.File, bool, error) { return nil, false, driver.ErrUnsupported }
