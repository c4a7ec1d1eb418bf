package ring

import (
	"fmt"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func openBufRing(t *testing.T, r *Ring, group uint16, entries int) *BufRing {
	t.Helper()
	b, err := r.RegisterBufRing(group, entries)
	if err == unix.EINVAL {
		t.Skip("the kernel has no rings of provided buffers: before 5.19")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// selecting is a read of up to bytes into whatever buffer of the group is next.
func selecting(fd int, group uint16, bytes uint32) func(*SQE) {
	return func(e *SQE) {
		e.Opcode, e.FD, e.Off, e.Flags, e.BufIndex, e.Len = OpRead, int32(fd), ^uint64(0), SQEBufferSelect, group, bytes
	}
}

// TestBufRing: each read takes the next buffer and says which, through more turns than the ring has places.
func TestBufRing(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		p := pipe(t)
		b := openBufRing(t, r, 7, 4)
		for id := range uint16(4) {
			b.Add(id, make([]byte, 64))
		}
		b.Advance()
		for i := range 20 {
			content := fmt.Sprintf("content %d", i)
			if _, err := unix.Write(p[1], []byte(content)); err != nil {
				t.Fatal(err)
			}
			cqe := do(t, r, selecting(p[0], 7, 64))
			id, ok := cqe.BufferID()
			if !ok || id != uint16(i%4) || int(cqe.Res) != len(content) || string(b.Buffer(id)[:cqe.Res]) != content {
				t.Fatalf("read %d: %+v, buffer %d, %v: %q", i, cqe, id, ok, b.Buffer(id)[:max(cqe.Res, 0)])
			}
			b.Add(id, b.Buffer(id))
			b.Advance()
		}
		if err := b.Unregister(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBufRingBeforeData: a read that waits takes its buffer when the data comes, not before.
func TestBufRingBeforeData(t *testing.T) {
	r := openRing(t, Options{Entries: 8})
	p, q := pipe(t), pipe(t)
	b := openBufRing(t, r, 0, 2)
	b.Add(0, make([]byte, 8))
	b.Advance()
	push(t, r, with(selecting(p[0], 0, 8), func(e *SQE) { e.UserData = 1 }))
	r.Submit(1, 0)
	unix.Write(q[1], []byte("q"))
	cqe := do(t, r, with(selecting(q[0], 0, 8), func(e *SQE) { e.UserData = 2 }))
	if id, ok := cqe.BufferID(); cqe.UserData != 2 || !ok || id != 0 || cqe.Res != 1 {
		t.Fatalf("%+v", cqe)
	}
	b.Add(1, make([]byte, 8))
	b.Advance()
	unix.Write(p[1], []byte("pp"))
	cqe = next(t, r)
	if id, ok := cqe.BufferID(); cqe.UserData != 1 || !ok || id != 1 || cqe.Res != 2 || string(b.Buffer(1)[:2]) != "pp" {
		t.Fatalf("%+v", cqe)
	}
	if err := b.Unregister(); err != nil {
		t.Fatal(err)
	}
}

// TestBufRingEmpty: nothing is read when there is no buffer: ENOBUFS, and the data stays.
func TestBufRingEmpty(t *testing.T) {
	r := openRing(t, Options{Entries: 8})
	p := pipe(t)
	b := openBufRing(t, r, 1, 2)
	unix.Write(p[1], []byte("data"))
	none := func(when string, group uint16) {
		t.Helper()
		cqe := do(t, r, selecting(p[0], group, 8))
		if _, ok := cqe.BufferID(); ok || cqe.Res != -int32(unix.ENOBUFS) {
			t.Fatalf("%s: %+v", when, cqe)
		}
	}
	none("empty", 1)
	b.Add(0, make([]byte, 8))
	none("added and not advanced", 1)
	none("another group", 2)
	b.Advance()
	if cqe := do(t, r, selecting(p[0], 1, 8)); cqe.Res != 4 || string(b.Buffer(0)[:4]) != "data" {
		t.Fatalf("%+v", cqe)
	}
	none("used up", 1)
	for round := range 5 { // every place has been used: what is left in it is not a buffer
		unix.Write(p[1], []byte("data"))
		b.Add(0, make([]byte, 2))
		b.Advance()
		if cqe := do(t, r, selecting(p[0], 1, 8)); cqe.Res != 2 || string(b.Buffer(0)) != "da" {
			t.Fatalf("round %d: %+v", round, cqe)
		}
		none("used up again", 1)
		if n, err := unix.Read(p[0], make([]byte, 8)); n != 2 {
			t.Fatalf("round %d: %d bytes left, %v", round, n, err)
		}
	}
	b.Add(0, b.Buffer(0))
	b.Advance()
	if err := b.Unregister(); err != nil {
		t.Fatal(err)
	}
	none("unregistered", 1)
}

func TestBufRingErrors(t *testing.T) {
	r := openRing(t, Options{Entries: 8})
	b := openBufRing(t, r, 3, 8)
	for _, entries := range []int{-1, 0, 3, 1<<15 + 1, 1 << 16} {
		if _, err := r.RegisterBufRing(4, entries); err != unix.EINVAL {
			t.Errorf("%d entries: %v", entries, err)
		}
	}
	if _, err := r.RegisterBufRing(3, 8); err != unix.EEXIST {
		t.Errorf("group taken: %v", err)
	}
	if err := b.Unregister(); err != nil {
		t.Fatal(err)
	}
	b = openBufRing(t, r, 3, 1<<15) // the group is free again
	mapping := uintptr(unsafe.Pointer(unsafe.SliceData(b.mem)))
	if err := b.Unregister(); err != nil {
		t.Fatal(err)
	}
	var resident [1]byte // mincore(2) says ENOMEM of what is not mapped
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, mapping, 1, uintptr(unsafe.Pointer(&resident))); errno != unix.ENOMEM {
		t.Errorf("the ring is still mapped: %v", errno)
	}
	gone := &BufRing{ring: r, group: 3}
	if err := gone.Unregister(); err != unix.EINVAL && err != unix.ENOENT {
		t.Errorf("unregister what is not: %v", err)
	}
}
