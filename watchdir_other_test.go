//go:build unix && !linux

package ringport

import (
	"errors"
	"testing"
)

// TestWatchDir_Unsupported: where directories can't be watched, the loop says so at once.
func TestWatchDir_Unsupported(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		n := 0
		for _, err := range open(t, c).WatchDir(t.Context(), t.TempDir(), DirOptions{}) {
			n++
			checkTyped(t, "WatchDir", 0, err, errors.ErrUnsupported)
		}
		if n != 1 {
			t.Errorf("%d pairs", n)
		}
	})
}
