//go:build !windows

package ringport

import "time"

var processStart = time.Now()

// monotonic is Go's monotonic clock, in nanoseconds.
func monotonic() int64 { return int64(time.Since(processStart)) }
