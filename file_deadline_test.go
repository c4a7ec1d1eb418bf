package ringport

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"testing"
	"time"
)

var (
	soon  = time.Unix(1, 0) // passed long ago
	later = time.Now().Add(10 * time.Hour)
)

func isDeadline(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &t) && t.Timeout() && os.IsTimeout(err)
}

// TestFile_DeadlineEndsRead: a read that waits ends when its deadline passes, when the deadline is moved to now, and takes no
// byte with it. One that is moved away, or taken back, ends nothing.
func TestFile_DeadlineEndsRead(t *testing.T) {
	forStreams(t, func(t *testing.T, m *Manager, r *File, feed func(string)) {
		buf := make([]byte, 8)
		gone := func(what string) {
			t.Helper()
			n, err := r.Read(buf)
			if n != 0 || !isDeadline(err) {
				t.Errorf("%s: %d, %v", what, n, err)
			}
		}
		set := func(f func(time.Time) error, at time.Time) {
			t.Helper()
			if err := f(at); err != nil {
				t.Error(err)
			}
		}
		there := func(what string) {
			t.Helper()
			if n, err := r.Read(buf); string(buf[:n]) != "hello\n" || err != nil {
				t.Errorf("%s: %q, %v", what, buf[:n], err)
			}
		}

		set(r.SetReadDeadline, time.Now().Add(time.Millisecond))
		gone("a deadline")
		set(r.SetDeadline, time.Now().Add(time.Millisecond))
		gone("a deadline for both ways")
		feed("hello\n")
		gone("a deadline that has passed, with data there")
		set(r.SetReadDeadline, time.Time{})
		there("without a deadline")

		set(r.SetReadDeadline, later)
		whileInFlight(m, func() { set(r.SetReadDeadline, soon) })
		gone("a deadline moved to the past")
		set(r.SetReadDeadline, later)
		whileInFlight(m, func() { set(r.SetDeadline, time.Now().Add(time.Millisecond)) })
		gone("a deadline moved nearer")

		set(r.SetReadDeadline, later)
		whileInFlight(m, func() {
			r.expire(reading) // its timeout fires, as it does when the move comes too late to stop it
			set(r.SetReadDeadline, later.Add(time.Hour))
			r.expire(reading)
			set(r.SetWriteDeadline, soon)
			feed("hello\n")
		})
		there("a deadline moved away")
		whileInFlight(m, func() {
			set(r.SetReadDeadline, time.Time{})
			r.expire(reading)
			feed("hello\n")
		})
		there("a deadline taken back")

		// Over before the start, whatever the context says; and a context may be over first.
		set(r.SetReadDeadline, later)
		ctx, cancel := context.WithCancel(context.Background())
		whileInFlight(m, cancel)
		if n, err := r.WithContext(ctx).Read(buf); n != 0 || !errors.Is(err, context.Canceled) || isDeadline(err) {
			t.Errorf("a context before the deadline: %d, %v", n, err)
		}
	})
}

func TestFile_DeadlineEndsWrite(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := filePipe(t, m)
		size := fillPipe(t, Handle(w.Fd()))
		for name, set := range map[string]func(time.Time) error{"write": w.SetWriteDeadline, "both": w.SetDeadline} {
			set(time.Now().Add(time.Millisecond))
			if n, err := w.Write(make([]byte, 10)); n != 0 || !isDeadline(err) {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			if n, err := w.Writev([][]byte{make([]byte, 10)}); n != 0 || !isDeadline(err) {
				t.Errorf("%s, passed: %d, %v", name, n, err)
			}
		}
		w.SetReadDeadline(soon) // has nothing to do with it
		w.SetWriteDeadline(time.Time{})
		if n, err := r.Read(make([]byte, size)); n != size || err != nil {
			t.Errorf("the pipe had %d bytes, not %d, %v", n, size, err)
		}
		if n, err := w.Write(make([]byte, 10)); n != 10 || err != nil {
			t.Error(n, err)
		}
	})
}

// TestFile_DeadlineEndsAllWaiters, those that wait for their turn too, and those of all views.
func TestFile_DeadlineEndsAllWaiters(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, _ := filePipe(t, m)
		const readers = 10
		errs := make(chan error, readers)
		for i := range readers {
			view := r
			if i%2 == 0 {
				view = r.WithContext(t.Context())
			}
			go func() { errs <- second(view.Read(make([]byte, 1))) }()
		}
		for waiting(r) < readers {
			runtime.Gosched()
		}
		r.SetReadDeadline(time.Now().Add(time.Millisecond))
		for range readers {
			if err := <-errs; !isDeadline(err) {
				t.Error(err)
			}
		}
	})
}

func TestFile_DeadlineOfRegularFile(t *testing.T) {
	content := noise(10_000, 16)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := openFile(t, m, named(t, content), os.O_RDWR)
		buf := make([]byte, 100)
		all := func(what string, want func(err error) bool) {
			t.Helper()
			for name, call := range map[string]func() (int, error){
				"Read":     func() (int, error) { return f.Read(buf) },
				"ReadAt":   func() (int, error) { return f.ReadAt(buf, notSample) },
				"ReadvAt":  func() (int, error) { return f.ReadvAt([][]byte{buf}, 5) },
				"Write":    func() (int, error) { return f.Write(buf) },
				"WriteAt":  func() (int, error) { return f.WriteAt(buf, 5) },
				"WritevAt": func() (int, error) { return f.WritevAt([][]byte{buf}, 5) },
				"nothing":  func() (int, error) { return f.Read(nil) },
			} {
				if _, err := call(); !want(err) {
					t.Errorf("%s, %s: %v", what, name, err)
				}
			}
		}
		for range 2 * warmFrom { // so that reads take the shortest way
			f.ReadAt(buf, notSample)
		}
		ok := func(err error) bool { return err == nil }
		f.SetDeadline(later)
		all("a deadline far away", ok)
		f.SetDeadline(time.Unix(1<<60, 0))
		all("a deadline beyond all clocks", ok)
		f.SetDeadline(soon)
		all("a deadline that has passed", isDeadline)
		if err := f.Sync(); err != nil {
			t.Errorf("deadlines are for reads and writes: %v", err)
		}
		f.SetDeadline(time.Time{})
		all("none", ok)
	})
}

// TestFile_DeadlineLeavesNothing: timeouts that are not needed any more do not stay with the manager.
func TestFile_DeadlineLeavesNothing(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := filePipe(t, m)
		pending := func(want int64) {
			t.Helper()
			if got := m.Stats().PendingTimeouts; got != want {
				t.Errorf("%d timeouts are pending, want %d", got, want)
			}
		}
		for range 3 {
			r.SetDeadline(later)
			w.SetWriteDeadline(later)
			pending(3)
			r.SetReadDeadline(soon)
			pending(2)
			r.SetDeadline(time.Time{})
			pending(1)
			w.SetDeadline(soon)
			pending(0)
		}
		r.SetDeadline(later)
		r.Close()
		pending(0)
	})
}

// TestFile_DeadlineClamps: times that a clock cannot count are never, or long ago.
func TestFile_DeadlineClamps(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, _ := filePipe(t, m)
		r.SetReadDeadline(time.Unix(1<<60, 0))
		if at := r.deadlines[reading].at; at < math.MaxInt64-int64(time.Hour)*24*365 {
			t.Errorf("the end of time is at %d", at)
		}
		r.SetReadDeadline(time.Unix(-1<<60, 0))
		if n, err := r.Read(make([]byte, 1)); n != 0 || !isDeadline(err) {
			t.Errorf("%d, %v", n, err)
		}
	})
}
