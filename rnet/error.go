package rnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/ringport/ringport"
)

// managerClosed says why a connection can't be used any more though nobody has closed it. It matches both sentinels.
var managerClosed = fmt.Errorf("%w: %w", net.ErrClosed, ringport.ErrManagerClosed)

// cause is why err, an error of ringport's, happened, as package net puts it into a net.OpError.
func cause(err error) error {
	call := ""
	if e, ok := err.(*ringport.OpError); ok {
		call, err = e.Op, e.Err
	}
	switch {
	case errors.Is(err, ringport.ErrManagerClosed):
		return managerClosed
	case errors.Is(err, os.ErrClosed):
		return net.ErrClosed
	}
	if errno, ok := err.(syscall.Errno); ok && call != "" {
		return os.NewSyscallError(call, errno)
	}
	return err
}

// failed is err, of an operation on what is connected, as package net says it. The end of a stream stays io.EOF.
func (s *socket) failed(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: s.network, Source: s.local, Addr: s.remote, Err: cause(err)}
}

// failedHere is err of what concerns the socket alone and no peer.
func (s *socket) failedHere(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: s.network, Addr: s.local, Err: cause(err)}
}
