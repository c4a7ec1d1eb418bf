//go:build !linux && !windows

package rnet

import "syscall"

func sendFile(*Conn, syscall.Conn, int64) (int64, error, bool) { return 0, nil, false }

func splice(_, _ *Conn, _ int64) (int64, error, bool) { return 0, nil, false }
