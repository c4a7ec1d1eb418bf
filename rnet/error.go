package rnet

import (
	"errors"
	"io"
	"net"

	"github.com/ringport/ringport/internal/neterr"
)

// ErrCallerDriven says that a caller-driven manager, which is its owner's goroutine's alone, was to run connections that any goroutine may use. Its
// connections are those of [ServeLoops].
var ErrCallerDriven = errors.New("the manager is caller-driven")

// failed is err, of an operation on what is connected, as package net says it. The end of a stream stays io.EOF.
func (s *socket) failed(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: s.network, Source: s.local, Addr: s.remote, Err: neterr.Cause(err)}
}

// failedHere is err of what concerns the socket alone and no peer.
func (s *socket) failedHere(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: s.network, Addr: s.local, Err: neterr.Cause(err)}
}
