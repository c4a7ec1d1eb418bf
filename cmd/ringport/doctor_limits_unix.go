//go:build linux || darwin || freebsd

package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// limits are the resource limits that matter here. See getrlimit(2).
func limits() (all []limit) {
	for _, l := range []struct {
		resource          int
		name, unit, about string
	}{
		{unix.RLIMIT_MEMLOCK, memlock, "bytes", "what registered buffers may pin"},
		{unix.RLIMIT_NOFILE, descriptors, "", "open files; Go raises the soft limit to the hard one by itself"},
		{unix.RLIMIT_NPROC, "processes", "", "threads of this user, which the pool needs"},
	} {
		var r unix.Rlimit
		if unix.Getrlimit(l.resource, &r) == nil {
			all = append(all, limit{l.name, l.unit, limitValue(uint64(r.Cur)), limitValue(uint64(r.Max)), l.about})
		}
	}
	return all
}

// limitValue is -1 for no limit. RLIM_INFINITY differs from system to system, but is never below 1<<63 - 1.
func limitValue(v uint64) int64 {
	if v >= math.MaxInt64 {
		return -1
	}
	return int64(v)
}
