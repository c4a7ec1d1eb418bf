package ringport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// TestFile_GivenUp gives up many reads of each stream, at any moment, and reads what comes next: nothing is lost, and no goroutine and no thread
// is left that waits for it.
func TestFile_GivenUp(t *testing.T) {
	forStreams(t, func(t *testing.T, m *Manager, r *File, feed func(string)) {
		var known map[string]bool
		buf := make([]byte, 8)
		rounds := scaled(100)
		for i := range rounds {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(500))*time.Microsecond)
			n, err := r.WithContext(ctx).Read(buf)
			cancel()
			if n != 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("round %d: %d, %v", i, n, err)
			}
			sent := fmt.Sprintf("%d\n", i) // terminals pass on lines
			feed(sent)
			if n, err := r.Read(buf); string(buf[:n]) != sent || err != nil {
				t.Fatalf("round %d: read %q, %v", i, buf[:n], err)
			}
			if i == rounds/2 { // what is left of each read shows in the second half as well
				known = goroutines() // with what a driver starts when a read waits for the first time, which need not be in the first round
			}
		}
		if err := patience.Until(func() error {
			if s := m.Stats(); s.InFlight != 0 || s.Threads != 0 {
				return fmt.Errorf("%+v", s)
			}
			return errors.Join(goroutinesOf(known, "internal/driver"), kernelWorkers())
		}); err != nil {
			t.Error(err)
		}
	})
}
