// Package patience is how tests wait for what must happen.
package patience

import (
	"runtime"
	"time"
)

// Limit is how long a test waits. It ends a hang; nothing is measured by it.
const Limit = 60 * time.Second

// Until asks check until it has no objection any more, for as long as Limit, and returns its last one.
func Until(check func() error) error {
	for asked, end := 0, time.Now().Add(Limit); ; asked++ {
		if err := check(); err == nil || time.Now().After(end) {
			return err
		}
		if runtime.Gosched(); asked > 100 {
			<-time.After(time.Millisecond) // the processor is for what is awaited, which may be another process
		}
	}
}
