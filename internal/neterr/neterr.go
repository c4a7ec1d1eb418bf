// Package neterr says ringport's errors as package net does, for the packages that have its connections.
package neterr

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/ringport/ringport"
)

// errManagerClosed says why a connection can't be used any more though nobody has closed it. It matches both sentinels.
var errManagerClosed = fmt.Errorf("%w: %w", net.ErrClosed, ringport.ErrManagerClosed)

// Cause is why err, an error of ringport's, happened, as package net puts it into a net.OpError.
func Cause(err error) error {
	call := ""
	if e, ok := err.(*ringport.OpError); ok {
		call, err = e.Op, e.Err
	}
	switch {
	case err == os.ErrDeadlineExceeded: // by far the most frequent: net/http ends a read so with each request
		return err
	case errors.Is(err, ringport.ErrManagerClosed):
		return errManagerClosed
	case errors.Is(err, os.ErrClosed):
		return net.ErrClosed
	}
	if errno, ok := err.(syscall.Errno); ok && call != "" {
		return os.NewSyscallError(call, errno)
	}
	return err
}
