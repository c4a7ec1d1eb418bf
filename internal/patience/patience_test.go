package patience_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ringport/ringport/internal/patience"
)

func Example() {
	done := make(chan bool)
	go close(done)
	err := patience.Until(func() error {
		select {
		case <-done:
			return nil
		default:
			return errors.New("it is not done")
		}
	})
	fmt.Println(err)
	// Output: <nil>
}

// TestUntil: check is asked until it has no objection, and not again.
func TestUntil(t *testing.T) {
	asked := 0
	err := patience.Until(func() error {
		if asked++; asked < 103 { // it sleeps between the last of these
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || asked != 103 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}
