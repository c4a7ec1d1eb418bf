//go:build unix && !linux

package ringport

import (
	"syscall"
	"testing"
)

// pipesOf are the ends that are written to, by those that are read.
var pipesOf = map[Handle]Handle{}

// newSignal makes what is signalled between set and clear, each of which may be called several times: a pipe.
func newSignal(t testing.TB) bell {
	t.Helper()
	r, w, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(int(r), true); err != nil {
		t.Fatal(err)
	}
	pipesOf[r] = w
	own(t, w)
	return bell{r, new([8]byte)}
}

func (s bell) set() error {
	_, err := rawWrite(pipesOf[s.h], []byte{1})
	return err
}

func (s bell) clear() error {
	for {
		if _, err := rawRead(s.h, s.buf[:]); err == syscall.EAGAIN {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// signalsMost is how many of n signals a test makes: poll(2) looks at all of them each time.
func signalsMost(t *testing.T, n int) int { return min(n, 100) }
