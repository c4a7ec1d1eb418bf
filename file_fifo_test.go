//go:build unix

package ringport

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFile_BlockedOpenEndsWithItsContext opens FIFOs that nobody else opens. What comes later finds no trace of it.
func TestFile_BlockedOpenEndsWithItsContext(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY} {
			name := newFIFO(t)
			for _, cause := range causes {
				ctx, end := cause.ctx()
				endInFlight(t, m, ctx, end)
				f, err := m.OpenFile(ctx, name, flag, 0)
				for _, want := range cause.want {
					if f != nil || !errors.Is(err, want) && !(want == os.ErrDeadlineExceeded && os.IsTimeout(err)) {
						t.Errorf("open of a FIFO, %s: %v, %v", cause.name, f, err)
					}
				}
				var op *OpError
				if !errors.As(err, &op) || op.Op != "open" || op.Name != name {
					t.Errorf("%#v", err)
				}
			}
			// A writer finds no reader, and a reader no writer.
			if fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.ENXIO {
				t.Errorf("something still has the FIFO open for reading: %d, %v", fd, err)
			}
			fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := unix.Read(fd, make([]byte, 1)); n != 0 || err != nil {
				t.Errorf("something still has the FIFO open for writing: %d, %v", n, err)
			}
			unix.Close(fd)

			// Two that want each other meet, and nothing stands between them.
			peer := make(chan *os.File, 1)
			go func() {
				f, err := os.OpenFile(name, os.O_RDONLY+os.O_WRONLY-flag, 0)
				if err != nil {
					t.Error(err)
				}
				peer <- f
			}()
			f := openFile(t, m, name, flag)
			o := <-peer
			var from io.Reader = f
			var to io.Writer = o
			if flag == os.O_WRONLY {
				from, to = o, f
			}
			if _, err := to.Write([]byte("hello")); err != nil {
				t.Error(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(from, got); string(got) != "hello" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			o.Close()
		}
	})
}
