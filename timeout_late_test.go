package ringport

import (
	"slices"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/clock"
)

// BenchmarkTimeoutLate: how much later than asked for a timeout fires on an otherwise idle manager, by the same clock: the median and the
// 99th percentile in microseconds.
func BenchmarkTimeoutLate(b *testing.B) {
	m, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	fired := make(chan int64, 1)
	late := make([]int64, 0, b.N)
	for i := range b.N {
		d := time.Duration(1+i%40)*time.Millisecond + time.Duration(i%7)*123*time.Microsecond
		start := clock.Nanos()
		m.AfterFunc(d, func() { fired <- clock.Nanos() })
		late = append(late, <-fired-start-int64(d))
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2])/1e3, "µs-late-p50")
	b.ReportMetric(float64(late[len(late)*99/100])/1e3, "µs-late-p99")
	if late[0] < 0 {
		b.Errorf("%v early", time.Duration(-late[0]))
	}
}
