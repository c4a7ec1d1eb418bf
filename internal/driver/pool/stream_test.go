//go:build unix

package pool

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// streamKind makes a pair of descriptors: what is written to the one can be read from the other.
type streamKind struct {
	name string
	pair func(t *rig) (r, w driver.Handle)
}

var streams = []streamKind{
	{"pipe", (*rig).pipe},
	{"non-blocking pipe", func(t *rig) (r, w driver.Handle) {
		r, w = t.pipe()
		unix.SetNonblock(int(r), true)
		unix.SetNonblock(int(w), true)
		return r, w
	}},
	{"fifo", func(t *rig) (r, w driver.Handle) {
		path := t.fifo()
		r = t.open(path, unix.O_RDONLY|unix.O_NONBLOCK)
		w = t.open(path, unix.O_WRONLY)
		unix.SetNonblock(int(r), false)
		return r, w
	}},
	{"socket", func(t *rig) (r, w driver.Handle) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		return t.owned(p[0]), t.owned(p[1])
	}},
}

func onEachStream(t *testing.T, test func(t *rig, r, w driver.Handle)) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			inBothModes(t, 2, func(t *rig) {
				r, w := s.pair(t)
				test(t, r, w)
			})
		})
	}
}

func TestStreamReadWaitsWithoutAThread(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		var rs []*driver.Request
		for range 5 { // more than there are threads
			rs = append(rs, t.start(reading(in, 2)))
		}
		for _, r := range rs {
			t.reaches(r, waiting)
		}
		until(func() bool { return t.d.Threads() == t.d.pollerThreads() })
		for i, r := range rs {
			want := fmt.Sprintf("%d\n", i)
			t.put(out, want)
			t.must(r, 2, nil)
			if string(r.Buf) != want {
				t.Fatalf("read %d got %q: not in order", i, r.Buf)
			}
		}
	})
}

func (d *Driver) pollerThreads() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.poller.threads()
}

func TestCancelledStreamReadTakesNoByte(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		for round := range 20 {
			victim, next := t.start(reading(in, 4)), t.start(reading(in, 4))
			t.reaches(victim, waiting)
			t.cancel(victim)
			text := fmt.Sprintf("%02d\n", round)
			t.put(out, text)
			t.must(next, 3, nil)
			if string(next.Buf[:3]) != text {
				t.Fatalf("%q, want %q", next.Buf[:3], text)
			}
		}
	})
}

func TestCancelRacingWithDataLosesNoByte(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		for range 300 {
			r := t.start(reading(in, 4))
			ended := make(chan struct{})
			go func() { t.d.Cancel(r); close(ended) }()
			if t.d.owned { // where only the owner may cancel
				<-ended
			}
			t.put(out, "abc\n")
			n, err := t.finish(r)
			<-ended
			if err == driver.ErrCanceled && n == 0 {
				n, err = t.do(reading(in, 4))
			}
			if n != 4 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
	})
}

func TestStreamReadIsOverWithTheFirstBytes(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		t.put(out, "ab\n")
		r := t.start(reading(in, 100))
		t.must(r, 3, nil)
		v := t.start(&driver.Request{Kind: driver.Readv, FD: in, Off: driver.CurrentOffset,
			Ext: &driver.Ext{Vec: [][]byte{make([]byte, 2), nil, make([]byte, 4)}}})
		t.reaches(v, waiting)
		t.put(out, "cd\n")
		if n, err := t.finish(v); err != nil || n < 2 || !strings.HasPrefix("cd\n", string(bytes.Join(v.Ext.Vec, nil)[:n])) {
			t.Fatalf("%d, %v, %q", n, err, v.Ext.Vec)
		}
	})
}

// stuck waits until r can't go on: it waits for its descriptor, or blocks a thread that is to be interrupted.
func (t *rig) stuck(r *driver.Request) {
	until(func() bool {
		t.d.mu.Lock()
		defer t.d.mu.Unlock()
		return r.State.Slot&phases == waiting || t.d.blocked[r] != nil && pollNow(int(r.FD), unix.POLLOUT) == 0
	})
}

// big is more than any stream holds, without the bytes that a terminal changes.
var big = strings.Repeat("0123456789abcdef", 1<<17)

func TestCancelledBigWriteReportsWhatItWrote(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		w := t.start(writing(out, big))
		t.stuck(w)
		t.cancel(t.start(writing(out, "never"))) // behind it
		t.d.Cancel(w)
		n, err := t.finish(w)
		if n <= 0 || n >= len(big) || err != nil {
			t.Fatalf("%d, %v, want some and no error", n, err)
		}
		got := 0
		for chunk := t.get(in); chunk != ""; chunk = t.get(in) {
			if chunk != big[got:got+len(chunk)] {
				t.Fatal("not what was written")
			}
			got += len(chunk)
		}
		if got != n {
			t.Fatalf("%d reported, %d arrived", n, got)
		}
	})
}

func TestBigWriteIsWrittenInFull(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		half := len(big) / 2
		for _, w := range []*driver.Request{writing(out, big), {Kind: driver.Writev, FD: out, Off: driver.CurrentOffset,
			Ext: &driver.Ext{Vec: [][]byte{[]byte(big[:1]), nil, []byte(big[1:half]), []byte(big[half:])}}}} {
			t.start(w)
			behind := t.start(writing(out, "!")) // does not come in between
			got := 0
			for got < len(big)+1 {
				until(func() bool { return pollNow(int(in), unix.POLLIN) != 0 })
				chunk := t.get(in)
				if chunk != (big + "!")[got:got+len(chunk)] {
					t.Fatal("not what was written")
				}
				got += len(chunk)
			}
			t.must(w, len(big), nil)
			t.must(behind, 1, nil)
		}
	})
}

func TestNothingToTransferIsNothingToWaitFor(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		t.must(t.start(reading(in, 0)), 0, nil)
		t.must(t.start(writing(out, "")), 0, nil)
		t.must(t.start(&driver.Request{Kind: driver.Readv, FD: in, Off: driver.CurrentOffset,
			Ext: &driver.Ext{Vec: [][]byte{{}, nil}}}), 0, nil)
	})
}

func TestEndOfStream(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		var p [2]int
		if err := unix.Pipe(p[:]); err != nil {
			t.Fatal(err)
		}
		in := t.owned(p[0])
		r := t.start(reading(in, 1))
		t.reaches(r, waiting)
		unix.Close(p[1])
		t.must(r, 0, nil)
		if err := unix.Pipe(p[:]); err != nil {
			t.Fatal(err)
		}
		out := t.owned(p[1])
		w := t.start(writing(out, big))
		t.reaches(w, waiting)
		unix.Close(p[0])
		if n, err := t.finish(w); n <= 0 || err != nil {
			t.Fatalf("a write that got somewhere: %d, %v", n, err)
		}
		t.must(t.start(writing(out, "x")), 0, unix.EPIPE)
	})
}

func TestPositionalTransferOnAStreamIsRefused(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		r, w := reading(in, 1), writing(out, "x")
		r.Off, w.Off = 0, 0
		t.must(t.start(r), 0, unix.ESPIPE)
		t.must(t.start(w), 0, unix.ESPIPE)
	})
}

func TestDevicesWithoutReadiness(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		t.must(t.start(reading(t.open("/dev/zero", unix.O_RDONLY), 10)), 10, nil)
		null := t.open("/dev/null", unix.O_RDWR)
		t.must(t.start(reading(null, 10)), 0, nil)
		t.must(t.start(writing(null, big)), len(big), nil)
	})
}

// What the poller refuses to wait for (EPERM, where it is epoll) is left to a worker, also if it had to stand in line first.
func TestQueueBehindADeviceWithoutReadiness(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		null := t.open("/dev/null", unix.O_RDWR)
		t.d.mu.Lock()
		w := t.d.watchOn(int(null))
		w.busy[0] = true // as if a read were being carried out
		t.d.mu.Unlock()
		first, second := t.start(reading(null, 1)), t.start(reading(null, 1))
		t.reaches(first, waiting)
		t.reaches(second, waiting)
		t.d.mu.Lock()
		w.busy[0] = false
		t.d.arm(w)
		t.d.mu.Unlock()
		t.must(first, 0, nil)
		t.must(second, 0, nil)
		never := t.start(polling(null, unix.POLLPRI))
		t.reaches(never, waiting)
		t.cancel(never)
	})
}

func TestPollAnswersEventsAndCanBeCancelled(t *testing.T) {
	onEachStream(t, func(t *rig, in, out driver.Handle) {
		t.must(t.start(polling(out, unix.POLLOUT)), unix.POLLOUT, nil)
		one, two := t.start(polling(in, unix.POLLIN)), t.start(polling(in, unix.POLLIN))
		pri, victim := t.start(polling(in, unix.POLLPRI)), t.start(polling(in, unix.POLLIN))
		for _, r := range []*driver.Request{one, two, pri, victim} {
			t.reaches(r, waiting)
		}
		t.cancel(victim)
		t.put(out, "x\n")
		t.must(one, unix.POLLIN, nil)
		t.must(two, unix.POLLIN, nil)
		t.cancel(pri)
		t.must(t.start(reading(in, 2)), 2, nil)
	})
}

func TestBadDescriptors(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		var p [2]int
		if err := unix.Pipe(p[:]); err != nil {
			t.Fatal(err)
		}
		unix.Close(p[0])
		unix.Close(p[1])
		for _, h := range []driver.Handle{driver.Handle(p[0]), ^driver.Handle(0), ^driver.Handle(1), driver.CurrentDir,
			driver.RegisteredHandle(0), driver.RegisteredHandle(7)} {
			for _, r := range []*driver.Request{reading(h, 1), writing(h, "x"), polling(h, unix.POLLIN), blocking(h),
				{Kind: driver.Fsync, FD: h}, {Kind: driver.Close, FD: h}, {Kind: driver.Truncate, FD: h},
				{Kind: driver.Readv, FD: h, Ext: &driver.Ext{Vec: [][]byte{{0}}}}} {
				t.must(t.start(r), 0, unix.EBADF)
			}
			if err := t.d.Attach(h); err != unix.EBADF {
				t.Fatalf("Attach(%#x): %v", h, err)
			}
		}
	})
}

// A descriptor that polls ready and answers EAGAIN must not keep the driver busy for ever, and one that loses a race against
// competitors must not fail.
func TestRefusedThoughReady(t *testing.T) {
	rig := newRig(t, driver.Options{})
	ready, _ := rig.file("x")
	in, _ := rig.pipe()
	r := reading(ready, 1)
	for try := 1; ; try++ {
		out, over := rig.d.advance(r, int(ready), 0, unix.EAGAIN)
		if !over {
			t.Fatal("tries again without a wait")
		}
		if out == finished {
			if try != maxTries || r.Err != unix.EAGAIN {
				t.Fatalf("after %d tries: %v", try, r.Err)
			}
			break
		}
	}
	r = reading(in, 1)
	for range 3 * maxTries {
		if out, _ := rig.d.advance(r, int(in), 0, unix.EAGAIN); out != notReady {
			t.Fatalf("a descriptor that is not ready failed: %v", r.Err)
		}
	}
}

func TestManyDescriptors(t *testing.T) {
	inBothModes(t, 2, func(t *rig) {
		type pair struct {
			out driver.Handle
			r   *driver.Request
		}
		var pairs []pair
		for range 200 {
			in, out := t.pipe()
			pairs = append(pairs, pair{out, t.start(reading(in, 4))})
		}
		for i, p := range pairs {
			t.put(p.out, fmt.Sprintf("%04d", i))
		}
		for i, p := range pairs {
			t.must(p.r, 4, nil)
			if string(p.r.Buf) != fmt.Sprintf("%04d", i) {
				t.Fatalf("%d got %q", i, p.r.Buf)
			}
		}
		if t.d.mu.Lock(); len(t.d.watches) != 0 {
			t.Errorf("%d watches are left", len(t.d.watches))
		}
		t.d.mu.Unlock()
	})
}

// A number that was closed while the poller still had it on its list, and has a new owner.
func TestRecycledDescriptor(t *testing.T) {
	inBothModes(t, 2, func(t *rig) {
		var first, second [2]int
		if err := unix.Pipe(first[:]); err != nil {
			t.Fatal(err)
		}
		dup, err := unix.Dup(first[0]) // keeps the poller's registration alive
		if err != nil {
			t.Fatal(err)
		}
		t.owned(dup)
		out := t.owned(first[1])
		victim := t.start(reading(driver.Handle(first[0]), 1))
		t.reaches(victim, waiting)
		t.cancel(victim)
		if err := unix.Pipe(second[:]); err != nil {
			t.Fatal(err)
		}
		t.owned(second[0])
		newOut := t.owned(second[1])
		if err := unix.Dup2(second[0], first[0]); err != nil {
			t.Fatal(err)
		}
		in := t.owned(first[0])
		r := t.start(reading(in, 1))
		t.reaches(r, waiting)
		t.put(out, "o") // readiness of the old pipe is not the new one's
		bystander := t.start(polling(driver.Handle(dup), unix.POLLIN))
		t.must(bystander, unix.POLLIN, nil)
		t.reaches(r, waiting) // the report may have made it try just now: it is over or waits again
		t.put(newOut, "n")
		t.must(r, 1, nil)
		if r.Buf[0] != 'n' || t.get(driver.Handle(dup)) != "o" {
			t.Fatalf("read %q", r.Buf)
		}
	})
}
