package ringport

import (
	"sync/atomic"
	"testing"

	"github.com/ringport/ringport/internal/driver"
)

// TestFile_MessagesAtOnce: a message that need not wait is moved on the caller's goroutine, and the manager starts nothing for it; one that has to is
// an operation.
func TestFile_MessagesAtOnce(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f, at := datagrams(t, m)
		buf := make([]byte, 8)
		in, out := RecvFrom(0, buf, nil, 0), SendTo(0, buf, at, 0)
		started := func(want int64) {
			t.Helper()
			got := int64(0)
			for _, k := range []driver.Kind{driver.RecvMsg, driver.SendMsg} {
				got += atomic.LoadInt64(&m.counters.started[k])
			}
			if got != want {
				t.Errorf("%d were started, want %d", got, want)
			}
		}
		before := m.Stats().Inline
		must := func(n int, err error) {
			t.Helper()
			if n != len(buf) || err != nil {
				t.Fatal(n, err)
			}
		}
		must(f.DoWrite(&out))
		started(0)
		must(f.DoRead(&in))
		started(0)
		must(f.SendTo(buf, &at))
		started(0)
		must(f.RecvFrom(buf, nil))
		started(0)
		for i, read := range []func() (int, error){
			func() (int, error) { return f.DoRead(&in) },
			func() (int, error) { return f.RecvFrom(buf, nil) },
		} {
			f.SetReadDeadline(later)
			whileInFlight(m, func() { f.SetReadDeadline(soon) })
			if _, err := read(); !isDeadline(err) {
				t.Errorf("%v", err)
			}
			started(int64(i + 1))
		}
		f.Close()
		if got := m.Stats().Inline - before; got < 4 {
			t.Errorf("%d were done at once, want 4", got)
		}
	})
}
