//go:build !linux

package arrival

import "errors"

// Poller watches nothing on this system.
type Poller struct{}

// Add registers nothing.
func (p *Poller) Add(fd int) (*Socket, error) { return nil, errors.ErrUnsupported }

// Remove has nothing to end.
func (p *Poller) Remove(fd int) {}

// End finds nobody who waits.
func (p *Poller) End(cause error) {}

// Waiting is 0: nobody waits.
func (p *Poller) Waiting() int { return 0 }

// Close has nothing to end.
func (p *Poller) Close() {}
