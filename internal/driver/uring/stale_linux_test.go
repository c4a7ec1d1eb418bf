package uring

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// TestStaleAnswers: a slot that is used again is another generation's. What is said of the request that had it before, or asked for it, a completion,
// the answer to a cancel, a cancel itself, doesn't meet the one that has it now.
func TestStaleAnswers(t *testing.T) {
	available(t)
	d, err := Open(driver.Options{Depth: 8, MaxThreads: 1})
	if err != nil {
		t.Fatal(err)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	write := func() {
		if _, err := unix.Write(p[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	read := func() *driver.Request {
		r := &driver.Request{Kind: driver.Read, FD: driver.Handle(p[0]), Off: driver.CurrentOffset, Buf: make([]byte, 8)}
		submit(t, d, r)
		return r
	}
	first := read()
	slot, old := first.State.Slot, d.data(first)
	write()
	await(t, d, first)
	now := read()
	if now.State.Slot != slot {
		t.Fatalf("slot %d, not %d again", now.State.Slot, slot)
	}
	for _, data := range []uint64{old, old | cancelBit, d.data(now) + 1<<32, uint64(len(d.slots) + 1)} {
		if r := d.complete(data, 1, 0); r != nil || !d.inFlight(now) {
			t.Errorf("user data %#x brings %v back", data, r)
		}
	}
	if foreign, late := d.Strays(); foreign != 1 || late != 2 {
		t.Errorf("%d foreign completions, %d late ones", foreign, late)
	}
	if err := d.ring.SyncCancel(old); err != unix.ENOENT && err != unix.EINVAL { // before Linux 6.0
		t.Errorf("a cancel of what is over: %v", err)
	}
	write()
	if await(t, d, now); now.N != 1 || now.Err != nil {
		t.Errorf("%d, %v", now.N, now.Err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
