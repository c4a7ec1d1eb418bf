//go:build unix

package pool

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// opened takes over the descriptor that r opened.
func (t *rig) opened(r *driver.Request) driver.Handle {
	t.Helper()
	fd, err := t.finish(r)
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Fatalf("flags %#x, %v: want a blocking descriptor", flags, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Fatalf("flags %#x, %v: want close-on-exec", flags, err)
	}
	return t.owned(fd)
}

// blocks waits until r's open is where only a peer or a cancel ends it.
func (t *rig) blocks(r *driver.Request) {
	until(func() bool {
		t.d.mu.Lock()
		defer t.d.mu.Unlock()
		return t.d.blocked[r] != nil
	})
}

var sides = map[string]int{"read side": unix.O_RDONLY, "write side": unix.O_WRONLY}

func onBothSides(t *testing.T, test func(t *rig, path string, flags int)) {
	for name, flags := range sides {
		t.Run(name, func(t *testing.T) {
			inBothModes(t, 1, func(t *rig) { test(t, t.fifo(), flags) })
		})
	}
}

func TestFIFOsFindEachOther(t *testing.T) {
	onBothSides(t, func(t *rig, path string, flags int) {
		one := t.start(opening(path, flags))
		t.blocks(one)
		two := t.start(opening(path, unix.O_RDONLY+unix.O_WRONLY-flags))
		in, out := t.opened(one), t.opened(two)
		if flags == unix.O_WRONLY {
			in, out = out, in
		}
		r := t.start(reading(in, 5))
		t.must(t.start(writing(out, "hello")), 5, nil)
		t.must(r, 5, nil)
	})
}

func TestCancelledFIFOOpenLeavesNothingBehind(t *testing.T) {
	onBothSides(t, func(t *rig, path string, flags int) {
		for range 20 {
			r := t.start(opening(path, flags))
			t.blocks(r)
			t.d.Cancel(r)
			t.cancel(r) // a second cancel changes nothing
		}
		until(func() bool { return t.d.Threads() == 0 })
		if flags == unix.O_RDONLY {
			if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.ENXIO {
				t.Fatalf("a writer finds a reader: %d, %v", fd, err)
			}
		} else if in := t.open(path, unix.O_RDONLY|unix.O_NONBLOCK); pollNow(int(in), unix.POLLIN) != 0 {
			t.Fatal("a reader finds that a writer was there")
		}
	})
}

// A peer that comes after the cancel gets its own partner, in order and in full.
func TestPeerThatComesAfterACancelledOpen(t *testing.T) {
	onBothSides(t, func(t *rig, path string, flags int) {
		victim := t.start(opening(path, flags))
		t.blocks(victim)
		t.cancel(victim)
		until(func() bool { return t.d.Threads() == 0 })
		peer := t.start(opening(path, unix.O_RDONLY+unix.O_WRONLY-flags))
		t.blocks(peer)
		if p := t.phase(peer); p != running {
			t.Fatalf("the peer's open is in phase %d: it found somebody", p)
		}
		partner := t.start(opening(path, flags))
		in, out := t.opened(partner), t.opened(peer)
		if flags == unix.O_WRONLY {
			in, out = out, in
		}
		t.put(out, "all of it")
		if got := t.get(in); got != "all of it" {
			t.Fatalf("%q", got)
		}
	})
}

func TestOpensThatWaitHoldUpNobody(t *testing.T) {
	onBothSides(t, func(t *rig, path string, flags int) {
		var rs []*driver.Request
		for range 5 { // of one thread
			rs = append(rs, t.start(opening(path, flags)))
		}
		for _, r := range rs {
			t.blocks(r)
		}
		file, _ := t.file("")
		t.must(t.start(writing(file, "x")), 1, nil)
		t.d.CancelAll()
		for _, r := range rs {
			t.must(r, 0, driver.ErrCanceled)
		}
	})
}

func TestCancelRacingWithAPeer(t *testing.T) {
	onBothSides(t, func(t *rig, path string, flags int) {
		for range 100 {
			r := t.start(opening(path, flags))
			peer := make(chan int)
			go func() {
				fd, err := unix.Open(path, (unix.O_RDONLY+unix.O_WRONLY-flags)|unix.O_NONBLOCK, 0)
				if err != nil {
					fd = -1
				}
				peer <- fd
			}()
			t.d.Cancel(r)
			fd, err := t.finish(r)
			if err == nil {
				unix.Close(fd)
			} else if err != driver.ErrCanceled || fd != 0 {
				t.Fatalf("%d, %v", fd, err)
			}
			if fd := <-peer; fd >= 0 {
				unix.Close(fd)
			}
		}
	})
}

func TestOpensThatDoNotWait(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		file, path := t.file("text")
		t.opened(t.start(opening(path, unix.O_RDONLY)))
		fifo := t.fifo()
		t.must(t.start(opening(fifo, unix.O_WRONLY|unix.O_NONBLOCK)), 0, unix.ENXIO)
		t.must(t.start(opening(filepath.Join(path, "below"), unix.O_RDONLY)), 0, unix.ENOTDIR)
		t.must(t.start(opening(filepath.Dir(path)+"/none", unix.O_RDONLY)), 0, unix.ENOENT)
		t.must(t.start(opening(path+"\x00", unix.O_RDONLY)), 0, unix.EINVAL)
		t.must(t.start(opening("", unix.O_RDONLY)), 0, unix.ENOENT)
		t.opened(t.start(opening("/dev/null", unix.O_RDWR)))
		dir := t.open(filepath.Dir(path), unix.O_RDONLY)
		r := opening(filepath.Base(path), unix.O_RDONLY)
		r.FD = dir
		t.opened(t.start(r))
		if err := t.d.Attach(file); err != nil {
			t.Fatal(err)
		}
	})
}
