//go:build !windows

package clock

import "time"

var processStart = time.Now()

// Nanos is Go's monotonic clock, in nanoseconds.
func Nanos() int64 { return int64(time.Since(processStart)) }
