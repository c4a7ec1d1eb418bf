package clock

import (
	"math/bits"

	"github.com/ringport/ringport/internal/win32"
)

var ticksPerSecond = func() (n int64) {
	win32.QueryPerformanceFrequency(&n)
	return n
}()

// Nanos is the performance counter, in nanoseconds. Go's own clock stands still until the system's next tick, up to 15.6 ms later.
func Nanos() int64 {
	var ticks int64
	win32.QueryPerformanceCounter(&ticks)
	high, low := bits.Mul64(uint64(ticks), 1e9)
	nanos, _ := bits.Div64(high, low, uint64(ticksPerSecond))
	return int64(nanos)
}
