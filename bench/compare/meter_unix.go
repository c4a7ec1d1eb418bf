//go:build unix

package main

import (
	"syscall"
	"time"
)

var epoch = time.Now()

func now() time.Duration { return time.Since(epoch) }

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
