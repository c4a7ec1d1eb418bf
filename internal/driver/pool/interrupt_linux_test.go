//go:build !portable

package pool

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// Terminals poll writable with room for less than a piece, so that only an interrupt ends the write.
func init() {
	streams = append(streams, streamKind{"terminal input", (*rig).terminal},
		streamKind{"terminal output", func(t *rig) (r, w driver.Handle) {
			w, r = t.terminal()
			return r, w
		}})
}

// A cancelled open does not release others that wait on the same side, as opening the other end for a moment would.
func TestCancelledFIFOOpenReleasesNobodyElse(t *testing.T) {
	onBothSides(t, func(t *rig, path string, flags int) {
		victim, other := t.start(opening(path, flags)), t.start(opening(path, flags))
		t.blocks(victim)
		t.blocks(other)
		t.cancel(victim)
		if p := t.phase(other); p != running {
			t.Fatalf("the other open is in phase %d", p)
		}
		t.open(path, (unix.O_RDONLY+unix.O_WRONLY-flags)|unix.O_NONBLOCK)
		t.opened(other)
	})
}

// A competitor took the bytes, or the room, between the poll and the call. No test can win that race at will: it makes the
// call when the descriptor is not ready in the first place.
func TestCallThatBlocksAfterAllIsInterrupted(t *testing.T) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			rig := newRig(t, driver.Options{})
			in, out := s.pair(rig)
			unix.SetNonblock(int(in), false)
			unix.SetNonblock(int(out), false)
			rig.interrupts(reading(in, 4))
			rig.interrupts(&driver.Request{Kind: driver.Readv, FD: in, Off: driver.CurrentOffset,
				Ext: &driver.Ext{Vec: [][]byte{make([]byte, 2), make([]byte, 3)}}})
			rig.put(out, "abcd")
			rig.must(rig.start(reading(in, 4)), 4, nil)
			if strings.HasPrefix(s.name, "terminal") {
				return // it can't be filled to the brim; every big write to it ends in an interrupt anyway
			}
			fill := rig.start(writing(out, big))
			rig.stuck(fill)
			rig.d.Cancel(fill)
			n, _ := rig.finish(fill)
			rig.interrupts(writing(out, "never"))
			for n > 0 {
				n -= len(rig.get(in))
			}
			if rest := rig.get(in); n != 0 || rest != "" {
				t.Fatalf("%d too many, %q", -n, rest)
			}
		})
	}
}

// interrupts makes r's blocking call and cancels it.
func (t *rig) interrupts(r *driver.Request) {
	t.Helper()
	t.d.mu.Lock()
	t.d.run(r)
	t.d.mu.Unlock()
	type result struct {
		n   int
		err error
	}
	back := make(chan result)
	go func() {
		n, err := t.d.transferInterruptibly(r, int(r.FD))
		back <- result{n, err}
	}()
	t.blocks(r)
	t.d.Cancel(r)
	if got := <-back; got.n != 0 || got.err != unix.EINTR {
		t.Fatalf("%v: %d, %v, want EINTR", r.Kind, got.n, got.err)
	}
	t.d.mu.Lock()
	if !t.d.settle(r, notReady) || r.Err != driver.ErrCanceled {
		t.Errorf("%v: %v", r.Kind, r.Err)
	}
	t.d.mu.Unlock()
}

// A signal that nobody sent on our behalf changes nothing: the call goes on.
func TestStrayInterruptIsNoCancel(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		path := t.fifo()
		r := t.start(opening(path, unix.O_RDONLY))
		t.blocks(r)
		t.d.mu.Lock()
		thread := t.d.blocked[r].thread
		t.d.mu.Unlock()
		for range 10 {
			unix.Tgkill(unix.Getpid(), thread, unix.SIGURG)
		}
		t.open(path, unix.O_WRONLY)
		t.opened(r)
	})
}

func TestStreamsAllocateNothingInTheSteadyState(t *testing.T) {
	inBothModes(t, 2, func(t *rig) {
		in, out := t.pipe()
		batch := make([]*driver.Request, 4)
		w, r := writing(out, "data"), reading(in, 4)
		for name, f := range map[string]func(){
			"ready":    func() { t.finishQuietly(batch, w); t.finishQuietly(batch, r) },
			"it waits": func() { t.finishQuietly(batch, r, w) },
		} {
			if n := testing.AllocsPerRun(200, f); n >= 1 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
