// Package conntest is what the tests of the packages that have connections share.
package conntest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/patience"
)

// Run runs all tests and returns the exit status, which says too whether they left nothing behind: no goroutine, and none of [Descriptors].
func Run(m *testing.M) int {
	r, w, _ := os.Pipe() // starts the runtime's poller, which has descriptors of its own
	r.Close()
	w.Close()
	before := Descriptors()
	code := m.Run()
	if d, err := ringport.Default(); err == nil {
		d.Close()
	}
	if code == 0 {
		if err := patience.Until(func() error { return leftBehind(before, Descriptors()) }); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: the tests left something behind:", err)
			code = 1
		}
	}
	return code
}

func leftBehind(before, now []string) error {
	var errs []error
	for _, d := range now {
		if !slices.Contains(before, d) {
			errs = append(errs, fmt.Errorf("descriptor left: %s", d))
		}
	}
	buf := make([]byte, 1<<20)
	for i, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && strings.Contains(stack, "github.com/ringport/ringport") {
			errs = append(errs, fmt.Errorf("goroutine left: %s", stack))
		}
	}
	return errors.Join(errs...)
}

// Async runs f in a goroutine; the function that it returns waits for its result.
func Async[T any](f func() (T, error)) func() (T, error) {
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = f()
	}()
	return func() (T, error) {
		select {
		case <-done:
			return v, err
		case <-time.After(patience.Limit):
			return v, errors.New("it hangs")
		}
	}
}

// InFlight waits until m has n operations in flight.
func InFlight(t testing.TB, m *ringport.Manager, n int64) {
	t.Helper()
	if err := patience.Until(func() error {
		if got := m.Stats().InFlight; got != n {
			return fmt.Errorf("%d operations in flight, want %d", got, n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Together runs fs at the same time, and reports their errors.
func Together(t testing.TB, fs ...func() error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Expect reads what must come.
func Expect(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil {
		return fmt.Errorf("%d of %d bytes, %w", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("other bytes than were sent")
	}
	return nil
}

// Pattern is n bytes that tell where they belong.
func Pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// Aside is where a test listens that expects nobody there afterwards: at an address of its own where the system has all of 127.0.0.0/8. A port of
// 127.0.0.1 may be another test program's as soon as it is closed. The last number tells test programs apart.
func Aside(last byte) string {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		last = 1
	}
	return fmt.Sprintf("127.0.0.%d:0", last)
}
