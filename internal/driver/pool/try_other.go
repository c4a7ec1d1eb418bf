//go:build unix && !linux

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// TrySend answers EAGAIN: it is for systems where asking costs less than waiting.
func TrySend(int, []byte) (int, error) { return 0, unix.EAGAIN }

// TryReceive answers EAGAIN, as TrySend does.
func TryReceive(int, []byte) (int, error) { return 0, unix.EAGAIN }

// TryReceiveFrom answers EAGAIN, as TrySend does.
func TryReceiveFrom(int, []byte, *driver.Address) (int, error) { return 0, unix.EAGAIN }

// TrySendTo answers EAGAIN, as TrySend does.
func TrySendTo(int, []byte, *driver.Address) (int, error) { return 0, unix.EAGAIN }

// TryMessage reports false, as if it would have to wait.
func TryMessage(*driver.Request, int) bool { return false }
