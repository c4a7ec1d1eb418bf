//go:build unix

package pool

import (
	"os"
	"strings"
	"testing"

	"github.com/ringport/ringport/internal/driver"
)

func TestWorkersGrowToTheirBoundAndShrinkToNone(t *testing.T) {
	inBothModes(t, 4, func(t *rig) {
		in, out := t.pipe()
		var rs []*driver.Request
		for i := range 10 {
			rs = append(rs, t.start(blocking(in)))
			if want := min(i+1, 4); t.d.Threads() != want {
				t.Fatalf("%d blocking requests have %d threads, want %d", i+1, t.d.Threads(), want)
			}
		}
		for _, r := range rs[:4] {
			t.reaches(r, running)
		}
		for _, r := range rs[4:] {
			if p := t.phase(r); p != queued {
				t.Fatalf("a request beyond the bound is in phase %d", p)
			}
		}
		t.put(out, "0123456789")
		for _, r := range rs {
			t.must(r, 1, nil)
		}
		until(func() bool { return t.d.Threads() == 0 })
	})
}

func TestQueueIsFirstInFirstOut(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, out := t.pipe()
		file, path := t.file("")
		first := t.start(blocking(in))
		t.reaches(first, running)
		want := ""
		var rs []*driver.Request
		for _, s := range strings.Split("the quick brown fox jumps", " ") {
			rs = append(rs, t.start(writing(file, s)))
			want += s
		}
		t.put(out, "x")
		for _, r := range append(rs, first) {
			if _, err := t.finish(r); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestQueuedRequestIsCancelledWithoutHavingRun(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, out := t.pipe()
		file, path := t.file("")
		first := t.start(blocking(in))
		t.reaches(first, running)
		before, victim, after := t.start(writing(file, "a")), t.start(writing(file, "b")), t.start(writing(file, "c"))
		t.cancel(victim)
		t.put(out, "x")
		t.must(first, 1, nil)
		t.must(before, 1, nil)
		t.must(after, 1, nil)
		if got, _ := os.ReadFile(path); string(got) != "ac" {
			t.Fatalf("%q, want ac", got)
		}
	})
}

func TestRunningFileIOComesBackWithItsDataThoughCancelled(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, out := t.pipe()
		r := t.start(blocking(in))
		t.reaches(r, running)
		t.d.Cancel(r)
		t.d.CancelAll()
		if p := t.phase(r); p != running {
			t.Fatalf("in phase %d after the cancel", p)
		}
		t.put(out, "x")
		t.must(r, 1, nil)
		if string(r.Buf) != "x" {
			t.Fatalf("%q", r.Buf)
		}
	})
}

func TestCancelAllReachesEveryPhase(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, out := t.pipe()
		file, _ := t.file("")
		stream, peer := t.pipe()
		atWork := t.start(blocking(in))
		t.reaches(atWork, running)
		rs := []*driver.Request{t.start(writing(file, "a")), t.start(reading(stream, 1)), t.start(reading(stream, 1)),
			t.start(polling(stream, 1))}
		stagedToo := writing(file, "b")
		if t.d.Submit(stagedToo) {
			t.Fatal("done at once")
		}
		t.d.CancelAll()
		for _, r := range append(rs, stagedToo) {
			t.must(r, 0, driver.ErrCanceled)
		}
		t.put(out, "x")
		t.must(atWork, 1, nil)
		t.put(peer, "y")
		if got := t.get(stream); got != "y" {
			t.Fatalf("%q is left in the pipe", got)
		}
	})
}

// Asked stands for a Cancel that comes before Submit, or in the middle of it: it finds no request to end.
func TestCancelThatComesFirstIsNotLost(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, out := t.pipe()
		file, path := t.file("")
		busy := t.start(blocking(in))
		t.reaches(busy, running)
		stream, _ := t.pipe()
		for _, r := range []*driver.Request{writing(file, "a"), reading(stream, 1), polling(stream, 1), opening(path, 0)} {
			r.Asked.Store(true)
			t.d.Cancel(r)
			t.must(t.start(r), 0, driver.ErrCanceled)
		}
		t.put(out, "x")
		t.must(busy, 1, nil)
		if got, _ := os.ReadFile(path); len(got) != 0 {
			t.Fatalf("written: %q", got)
		}
	})
}

func TestOwnedModeOnlyQueuesUntilFlush(t *testing.T) {
	rig := newRig(t, driver.Options{Owned: true})
	file, path := rig.file("")
	in, out := rig.pipe()
	w, r, nop := writing(file, "a"), reading(in, 1), &driver.Request{Kind: driver.Nop}
	rig.put(out, "x")
	for _, req := range []*driver.Request{w, r, nop} {
		if rig.d.Submit(req) || rig.phase(req) != staged {
			t.Fatalf("%v was started by Submit", req.Kind)
		}
	}
	if n := rig.d.Threads(); n != 0 {
		t.Fatalf("%d threads", n)
	}
	if got, _ := os.ReadFile(path); len(got) != 0 {
		t.Fatalf("written: %q", got)
	}
	var batch [4]*driver.Request
	if n, err := rig.d.Wait(batch[:2], 0); n == 0 || err != nil {
		t.Fatalf("Wait without a timeout: %d, %v; what needs no wait is there at once", n, err)
	} else {
		for _, b := range batch[:n] {
			rig.back[b] = true
		}
	}
	rig.must(w, 1, nil)
	rig.must(r, 1, nil)
	rig.must(nop, 0, nil)
}

func TestOwnedModeCancelsWhatIsNotStarted(t *testing.T) {
	rig := newRig(t, driver.Options{Owned: true})
	file, path := rig.file("")
	victim, other := writing(file, "a"), writing(file, "b")
	rig.d.Submit(victim)
	rig.d.Submit(other)
	rig.cancel(victim)
	rig.must(other, 1, nil)
	if got, _ := os.ReadFile(path); string(got) != "b" {
		t.Fatalf("%q, want b", got)
	}
}
