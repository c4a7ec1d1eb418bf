//go:build unix

package main

import "os"

// interruptible has nothing to prepare.
func interruptible() {}

// interrupt is Ctrl-C.
func (p *program) interrupt() error { return p.Process.Signal(os.Interrupt) }
