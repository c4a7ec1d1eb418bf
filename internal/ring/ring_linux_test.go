package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// openRing opens a ring, and makes the test's goroutine the owner of an owned one.
func openRing(t *testing.T, o Options) *Ring {
	t.Helper()
	r, err := Open(o)
	return adopt(t, r, err)
}

func adopt(t *testing.T, r *Ring, err error) *Ring {
	t.Helper()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("io_uring cannot be had here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if r.Flags&SetupRDisabled != 0 {
		runtime.LockOSThread()
		t.Cleanup(runtime.UnlockOSThread)
		if err := r.Enable(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// modes are the two kinds of rings.
func modes(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("shared", func(t *testing.T) { test(t, Options{Entries: 8}) })
	t.Run("owned", func(t *testing.T) { test(t, Options{Entries: 8, Owned: true}) })
}

// push queues one submission.
func push(t *testing.T, r *Ring, fill func(*SQE)) {
	t.Helper()
	sqe := r.NextSQE()
	if sqe == nil {
		t.Fatal("the submission queue is full")
	}
	fill(sqe)
	r.Publish()
}

// next submits what is queued and waits for one completion.
func next(t *testing.T, r *Ring) CQE {
	t.Helper()
	for r.Peek() == nil {
		if _, errno := r.SubmitAndWait(r.Pending(), 1, nil); errno != 0 && errno != unix.EINTR {
			t.Fatalf("enter: %v", errno)
		}
	}
	cqe := *r.Peek()
	r.Next()
	r.Release()
	return cqe
}

// do carries one submission out.
func do(t *testing.T, r *Ring, fill func(*SQE)) CQE {
	t.Helper()
	push(t, r, fill)
	return next(t, r)
}

func nop(data uint64) func(*SQE) {
	return func(e *SQE) { e.Opcode, e.UserData = OpNop, data }
}

// nops does more round trips than the queues have places, so that every index wraps.
func nops(t *testing.T, r *Ring) {
	t.Helper()
	data := uint64(0)
	for range 5 * r.CQEntries() {
		n := 1 + int(data)%r.SQEntries()
		for i := range n {
			push(t, r, nop(data+uint64(i)))
		}
		for range n {
			if cqe := next(t, r); cqe.UserData != data || cqe.Res != 0 {
				t.Fatalf("completion %+v, want user data %d", cqe, data)
			}
			data++
		}
	}
	if r.Peek() != nil || r.HasCompletions() || r.Pending() != 0 || r.Room() != r.SQEntries() || r.Overflowed() != 0 {
		t.Fatalf("pending %d, room %d, overflowed %d after all are back", r.Pending(), r.Room(), r.Overflowed())
	}
}

func TestNops(t *testing.T) {
	modes(t, func(t *testing.T, o Options) { nops(t, openRing(t, o)) })
}

func TestQueueSizes(t *testing.T) {
	for _, c := range []struct{ entries, cqEntries, sq, cq uint32 }{
		{1, 0, 1, 2}, {3, 0, 4, 8}, {8, 0, 8, 16}, {8, 100, 8, 128}, {1 << 20, 0, 1 << 15, 1 << 16}, // clamped
	} {
		r := openRing(t, Options{Entries: c.entries, CQEntries: c.cqEntries})
		if r.SQEntries() != int(c.sq) || r.CQEntries() != int(c.cq) {
			t.Errorf("%d and %d entries asked for: %d and %d", c.entries, c.cqEntries, r.SQEntries(), r.CQEntries())
		}
	}
	if _, err := Open(Options{}); err != unix.EINVAL {
		t.Errorf("no entries: %v", err)
	}
}

// TestOlderKernels: a kernel that does not know a flag answers EINVAL. Open then does without it, but not without those that it knows.
func TestOlderKernels(t *testing.T) {
	for _, c := range []struct {
		kernel        string
		unknown       uint32
		shared, owned uint32 // flags expected
	}{
		{"of today", 0, SetupSubmitAll | SetupCoopTaskrun | SetupNoSQArray,
			SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun | SetupNoSQArray},
		{"6.5", SetupNoSQArray, SetupSubmitAll | SetupCoopTaskrun, SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun},
		{"6.0", SetupNoSQArray | SetupDeferTaskrun, SetupSubmitAll | SetupCoopTaskrun,
			SetupSubmitAll | SetupSingleIssuer | SetupCoopTaskrun},
		{"5.19", SetupNoSQArray | SetupDeferTaskrun | SetupSingleIssuer, SetupSubmitAll | SetupCoopTaskrun,
			SetupSubmitAll | SetupCoopTaskrun},
		{"5.18", SetupNoSQArray | SetupDeferTaskrun | SetupSingleIssuer | SetupCoopTaskrun, SetupSubmitAll, SetupSubmitAll},
		{"5.12", SetupNoSQArray | SetupDeferTaskrun | SetupSingleIssuer | SetupCoopTaskrun | SetupSubmitAll, 0, 0},
	} {
		t.Run(c.kernel, func(t *testing.T) {
			old := func(entries uint32, p *Params) (int, unix.Errno) {
				if p.Flags&c.unknown != 0 {
					return -1, unix.EINVAL
				}
				return setup(entries, p)
			}
			for _, owned := range []bool{false, true} {
				r, err := open(Options{Entries: 8, Owned: owned}, old)
				r = adopt(t, r, err)
				want := c.shared | SetupClamp
				if owned {
					want = c.owned | SetupClamp | SetupRDisabled
				}
				if r.Flags != want {
					t.Errorf("owned %v: flags %#x, want %#x", owned, r.Flags, want)
				}
				nops(t, r)
			}
		})
	}
}

// TestOpenErrors: only EINVAL has Open try again.
func TestOpenErrors(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS, unix.ENOMEM, unix.EMFILE} {
		calls := 0
		_, err := open(Options{Entries: 8}, func(uint32, *Params) (int, unix.Errno) { calls++; return -1, errno })
		if err != errno || calls != 1 {
			t.Errorf("%v after %d calls, want %v", err, calls, errno)
		}
	}
	for _, owned := range []bool{false, true} {
		calls := 0
		_, err := open(Options{Entries: 8, Owned: owned}, func(uint32, *Params) (int, unix.Errno) { calls++; return -1, unix.EINVAL })
		if err != unix.EINVAL || calls != len(flagSets(owned)) {
			t.Errorf("%v after %d calls", err, calls)
		}
	}
	// A kernel without SINGLE_MMAP: what was set up is closed again.
	before := resources(t)
	_, err := open(Options{Entries: 8}, func(entries uint32, p *Params) (int, unix.Errno) {
		fd, errno := setup(entries, p)
		p.Features &^= FeatSingleMmap
		return fd, errno
	})
	if err != unix.ENOSYS && err != unix.EPERM {
		t.Errorf("without SINGLE_MMAP: %v", err)
	}
	if after := resources(t); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

func TestFlagSetsGetSmaller(t *testing.T) {
	for _, owned := range []bool{false, true} {
		sets := flagSets(owned)
		for i := 1; i < len(sets); i++ {
			if bits.OnesCount32(sets[i]) > bits.OnesCount32(sets[i-1]) || sets[i] == sets[i-1] {
				t.Errorf("owned %v: %#x after %#x", owned, sets[i], sets[i-1])
			}
		}
	}
}

// TestQueueFull: NextSQE gives out what there is, and no more until the kernel has taken some.
func TestQueueFull(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		nops(t, r) // so that every entry has been used
		for i := range r.SQEntries() {
			if room := r.Room(); room != r.SQEntries()-i {
				t.Fatalf("room for %d, want %d", room, r.SQEntries()-i)
			}
			sqe := r.NextSQE()
			if *sqe != (SQE{}) {
				t.Fatalf("not zero: %+v", *sqe)
			}
			nop(uint64(i))(sqe)
			if !r.Unpublished() {
				t.Fatal("the kernel sees what was not published")
			}
		}
		if r.NextSQE() != nil || r.Room() != 0 || r.Pending() != 0 {
			t.Fatalf("room for %d, %d pending", r.Room(), r.Pending())
		}
		if r.Publish(); r.Pending() != uint32(r.SQEntries()) || r.Unpublished() {
			t.Fatalf("%d pending", r.Pending())
		}
		if taken, errno := r.Submit(3, 0); taken != 3 || errno != 0 {
			t.Fatalf("took %d, %v", taken, errno)
		}
		sqe := r.NextSQE()
		if sqe == nil || r.Room() != 2 || r.Pending() != uint32(r.SQEntries()-3) {
			t.Fatalf("room for %d, %d pending", r.Room(), r.Pending())
		}
		nop(uint64(r.SQEntries()))(sqe)
		r.Publish()
		for i := range r.SQEntries() + 1 {
			if cqe := next(t, r); cqe.UserData != uint64(i) {
				t.Fatalf("%+v", cqe)
			}
		}
	})
}

// TestOverflow: the kernel keeps what the completion queue does not hold, says so, and hands it over when asked for events.
func TestOverflow(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, Options{Entries: 4, CQEntries: 4, Owned: o.Owned})
		if r.Features&FeatNoDrop == 0 {
			t.Fatal("the kernel drops what overflows; before 5.5")
		}
		submitted := 0
		for submitted < 64 {
			for range 4 {
				push(t, r, nop(uint64(submitted)))
				submitted++
			}
			if _, errno := r.Submit(r.Pending(), 0); errno == unix.EBUSY { // before 5.19: reap first
				break
			} else if errno != 0 {
				t.Fatal(errno)
			}
		}
		if !r.NeedsEnter() || submitted <= r.CQEntries() {
			t.Fatalf("no overflow after %d submissions", submitted)
		}
		for seen := 0; seen < submitted; {
			if r.Peek() == nil {
				if _, errno := r.Submit(r.Pending(), EnterGetEvents); errno != 0 {
					t.Fatal(errno)
				}
			}
			for cqe := r.Peek(); cqe != nil; cqe = r.Peek() {
				if cqe.UserData != uint64(seen) {
					t.Fatalf("%+v, want %d", *cqe, seen)
				}
				seen++
				r.Next()
			}
			r.Release()
		}
		if r.NeedsEnter() || r.Overflowed() != 0 || r.HasCompletions() {
			t.Errorf("%d dropped", r.Overflowed())
		}
	})
}

// TestOneWritesOneReadsOthersEnter is the concurrency that the package allows.
func TestOneWritesOneReadsOthersEnter(t *testing.T) {
	const total = 20000
	r := openRing(t, Options{Entries: 64})
	var seen atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; i < total; runtime.Gosched() {
			for sqe := r.NextSQE(); sqe != nil && i < total; sqe = r.NextSQE() {
				nop(uint64(i))(sqe)
				i++
				r.Publish()
				if int64(i)-seen.Load() > 32 { // leaves room in the completion queue
					break
				}
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for seen.Load() < total {
				if _, errno := r.Submit(r.Pending(), 0); errno != 0 && errno != unix.EBUSY && errno != unix.EINTR {
					t.Errorf("enter: %v", errno)
					return
				}
				r.HasCompletions()
				runtime.Gosched()
			}
		})
	}
	for i := uint64(0); i < total; runtime.Gosched() {
		for cqe := r.Peek(); cqe != nil; cqe = r.Peek() {
			if cqe.Res != 0 {
				t.Errorf("%+v", *cqe)
			}
			i++
			r.Next()
			r.Release()
			seen.Store(int64(i))
		}
		if r.NeedsEnter() {
			r.Submit(0, EnterGetEvents)
		}
	}
	wg.Wait()
}

// TestTimeout: the wait ends with ETIME, submissions or not.
func TestTimeout(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		ms := unix.NsecToTimespec(1e6)
		if _, errno := r.SubmitAndWait(0, 1, &ms); errno != unix.ETIME {
			t.Errorf("nothing in flight: %v", errno)
		}
		p := pipe(t)
		push(t, r, readOf(p[0], make([]byte, 8), 7))
		if taken, errno := r.SubmitAndWait(1, 1, &ms); errno != 0 && errno != unix.ETIME || errno == 0 && taken != 1 || r.Pending() != 0 {
			t.Errorf("a read that waits: took %d, %v", taken, errno)
		}
		if _, errno := r.SubmitAndWait(0, 1, &ms); errno != unix.ETIME {
			t.Errorf("a read in flight: %v", errno)
		}
		unix.Write(p[1], []byte("data"))
		if cqe := next(t, r); cqe.UserData != 7 || cqe.Res != 4 {
			t.Errorf("%+v", cqe)
		}
		push(t, r, nop(9))
		hour := unix.NsecToTimespec(3600e9)
		if taken, errno := r.SubmitAndWait(1, 1, &hour); taken != 1 || errno != 0 || next(t, r).UserData != 9 {
			t.Errorf("a completion before the timeout: took %d, %v", taken, errno)
		}
	})
}

// TestOwner: an owned ring has one thread, the one that enabled it.
func TestOwner(t *testing.T) {
	r, err := Open(Options{Entries: 8, Owned: true})
	if err == nil {
		if _, errno := r.Submit(0, EnterGetEvents); errno != unix.EBADFD {
			t.Errorf("before Enable: %v", errno)
		}
	}
	r = adopt(t, r, err)
	if r.Flags&SetupSingleIssuer == 0 {
		t.Skip("the kernel has no single issuer: before 6.0")
	}
	push(t, r, nop(1))
	foreign := make(chan unix.Errno)
	go func() { // not on this thread: it is locked
		_, errno := r.Submit(1, EnterGetEvents)
		foreign <- errno
	}()
	if errno := <-foreign; errno != unix.EEXIST {
		t.Errorf("on a foreign thread: %v", errno)
	}
	if cqe := next(t, r); cqe.UserData != 1 {
		t.Errorf("%+v", cqe)
	}
	if err := r.Enable(); err != unix.EBADFD {
		t.Errorf("enabled twice: %v", err)
	}
}

// TestClose: neither a descriptor nor a mapping is left.
func TestClose(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		before := resources(t)
		var open []*Ring
		for range 5 {
			r, err := Open(o)
			if err != nil {
				adopt(t, nil, err)
			}
			open = append(open, r)
		}
		if during := resources(t); during == before {
			t.Fatalf("%s with 5 rings open", during)
		}
		for _, r := range open {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if after := resources(t); after != before {
			t.Errorf("before %s, after %s", before, after)
		}
	})
}

// resources counts the descriptors and mappings of rings.
func resources(t *testing.T) string {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	fds := 0
	for fd := range 256 {
		if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && strings.Contains(name, "io_uring") {
			fds++
		}
	}
	return fmt.Sprintf("%d descriptors, %d mappings", fds, strings.Count(string(maps), "io_uring"))
}

func pipe(t *testing.T) [2]int {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p
}
