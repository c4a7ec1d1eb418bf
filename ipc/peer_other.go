//go:build unix && !linux && !darwin && !freebsd

package ipc

import "errors"

func (link) peer(fd uintptr) (Peer, error) { return Peer{}, errors.ErrUnsupported }
