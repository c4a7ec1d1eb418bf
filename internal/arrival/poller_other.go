//go:build !linux

package arrival

import "errors"

// Poller watches nothing on this system.
type Poller struct{}

func (p *Poller) Add(fd int) (*Socket, error) { return nil, errors.ErrUnsupported }
func (p *Poller) Remove(fd int)               {}
func (p *Poller) End(cause error)             {}
func (p *Poller) Close()                      {}
