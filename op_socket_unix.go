//go:build unix

package ringport

import (
	"math"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/pool"
)

func localAddress(h Handle, a *driver.Address) error {
	at, err := unix.Getsockname(socketNumber(h))
	pool.SetAddress(a, at)
	return err
}

func remoteAddress(h Handle, a *driver.Address) error {
	at, err := unix.Getpeername(socketNumber(h))
	pool.SetAddress(a, at)
	return err
}

func socketOption(h Handle, level, name int) (int, error) {
	return unix.GetsockoptInt(socketNumber(h), level, name)
}

func setSocketOption(h Handle, level, name, value int) error {
	return unix.SetsockoptInt(socketNumber(h), level, name, value)
}

// socketNumber is h as a system call takes it, -1 if it can't be one.
func socketNumber(h Handle) int {
	if h > math.MaxInt32 {
		return -1
	}
	return int(h)
}

// elsewhere reports whether target is what other systems call err. There are no other names here.
func elsewhere(err, target error) bool { return false }
