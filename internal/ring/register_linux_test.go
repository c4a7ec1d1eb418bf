package ring

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// buffers are those of the tests. Rule: an address in a submission is invisible to the runtime, so they are reachable from here, and
// thereby on the heap.
var buffers [][]byte

// readOf reads at the descriptor's position.
func readOf(fd int, buf []byte, data uint64) func(*SQE) {
	buffers = append(buffers, buf)
	return func(e *SQE) {
		e.Opcode, e.FD, e.Off, e.UserData = OpRead, int32(fd), ^uint64(0), data
		e.Addr, e.Len = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))), uint32(len(buf))
	}
}

// with is fill with a change.
func with(fill, change func(*SQE)) func(*SQE) {
	return func(e *SQE) {
		fill(e)
		change(e)
	}
}

func file(t *testing.T, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRegisterBuffers(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		f := file(t, "0123456789")
		bufs := [][]byte{make([]byte, 4096), make([]byte, 8192)}
		if err := r.RegisterBuffers(bufs); err != nil {
			t.Fatal(err)
		}
		if err := r.RegisterBuffers(bufs); err != unix.EBUSY {
			t.Errorf("registered twice: %v", err)
		}
		fixed := func(buf []byte, index uint16) func(*SQE) {
			return with(readOf(int(f.Fd()), buf, 0), func(e *SQE) { e.Opcode, e.BufIndex, e.Off = OpReadFixed, index, 2 })
		}
		if cqe := do(t, r, fixed(bufs[1][5000:5004], 1)); cqe.Res != 4 || string(bufs[1][5000:5004]) != "2345" {
			t.Errorf("%+v, %q", cqe, bufs[1][5000:5004])
		}
		if cqe := do(t, r, fixed(bufs[1][5000:5004], 0)); cqe.Res != -int32(unix.EFAULT) {
			t.Errorf("a buffer of another index: %+v", cqe)
		}
		if cqe := do(t, r, fixed(bufs[1][:4], 2)); cqe.Res != -int32(unix.EFAULT) {
			t.Errorf("an index that there is not: %+v", cqe)
		}
		if err := r.UnregisterBuffers(); err != nil {
			t.Fatal(err)
		}
		if cqe := do(t, r, fixed(bufs[1][:4], 1)); cqe.Res != -int32(unix.EFAULT) {
			t.Errorf("after it was unregistered: %+v", cqe)
		}
		if err := r.UnregisterBuffers(); err != unix.ENXIO {
			t.Errorf("unregistered twice: %v", err)
		}
	})
}

func TestRegisterFiles(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		f, buf := file(t, "content"), make([]byte, 16)
		if err := r.RegisterFiles([]int32{-1, int32(f.Fd())}); err != nil {
			t.Fatal(err)
		}
		f.Close() // the kernel holds the file
		fixed := func(index int) func(*SQE) {
			return with(readOf(index, buf, 0), func(e *SQE) { e.Flags, e.Off = SQEFixedFile, 0 })
		}
		if cqe := do(t, r, fixed(1)); cqe.Res != 7 || string(buf[:7]) != "content" {
			t.Errorf("%+v, %q", cqe, buf)
		}
		for _, index := range []int{0, 2} {
			if cqe := do(t, r, fixed(index)); cqe.Res != -int32(unix.EBADF) {
				t.Errorf("index %d: %+v", index, cqe)
			}
		}
		if err := r.UnregisterFiles(); err != nil {
			t.Fatal(err)
		}
		if cqe := do(t, r, fixed(1)); cqe.Res != -int32(unix.EBADF) {
			t.Errorf("after it was unregistered: %+v", cqe)
		}
		if err := r.UnregisterFiles(); err != unix.ENXIO {
			t.Errorf("unregistered twice: %v", err)
		}
		if err := r.RegisterFiles([]int32{1 << 20}); err != unix.EBADF {
			t.Errorf("no such descriptor: %v", err)
		}
	})
}

func eventfd(t *testing.T) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// TestEventFD: an eventfd counts completions that come one by one.
func TestEventFD(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		fd := eventfd(t)
		if err := r.RegisterEventFD(fd); err != nil {
			t.Fatal(err)
		}
		if err := r.RegisterEventFD(fd); err != unix.EBUSY {
			t.Errorf("registered twice: %v", err)
		}
		for range 5 {
			do(t, r, nop(0))
		}
		var count [8]byte
		if n, err := unix.Read(fd, count[:]); n != 8 || err != nil || binary.NativeEndian.Uint64(count[:]) != 5 {
			t.Errorf("%d, %v: %d completions counted, want 5", n, err, binary.NativeEndian.Uint64(count[:]))
		}
		if err := r.UnregisterEventFD(); err != nil {
			t.Fatal(err)
		}
		do(t, r, nop(0))
		if n, err := unix.Read(fd, count[:]); err != unix.EAGAIN {
			t.Errorf("counted after it was unregistered: %d, %v", n, err)
		}
		if err := r.UnregisterEventFD(); err != unix.ENXIO {
			t.Errorf("unregistered twice: %v", err)
		}
	})
}

// TestMultishotPoll: a multishot poll of an eventfd fires once a write, without a read in between. That is how an owned driver is
// woken.
func TestMultishotPoll(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		fd := eventfd(t)
		push(t, r, func(e *SQE) {
			e.Opcode, e.FD, e.Len, e.OpFlags, e.UserData = OpPollAdd, int32(fd), PollAddMulti, unix.POLLIN, 5
		})
		for i := range 20 {
			if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
			if cqe := next(t, r); cqe.UserData != 5 || cqe.Res&unix.POLLIN == 0 || cqe.Flags&CQEFMore == 0 {
				t.Fatalf("write %d: %+v", i, cqe)
			}
			if r.Submit(0, EnterGetEvents); r.Peek() != nil {
				t.Fatalf("write %d fired twice: %+v", i, *r.Peek())
			}
		}
	})
}

func TestProbe(t *testing.T) {
	r := openRing(t, Options{Entries: 1})
	ops, err := r.Probe()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []uint8{OpNop, OpReadv, OpRead, OpWrite, OpStatx, OpAsyncCancel, OpSplice} { // all in 5.7
		if !ops.Has(op) {
			t.Errorf("opcode %d is missing", op)
		}
	}
	for _, op := range []uint8{200, 255} {
		if ops.Has(op) {
			t.Errorf("the kernel claims to know opcode %d", op)
		}
	}
	// A kernel that says it knows an opcode does not answer EINVAL to a good submission of it, and one that does not, does.
	if cqe := do(t, r, func(e *SQE) { e.Opcode = 200 }); cqe.Res != -int32(unix.EINVAL) {
		t.Errorf("opcode 200: %+v", cqe)
	}
}

func TestSyncCancel(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		r := openRing(t, o)
		p := pipe(t)
		push(t, r, readOf(p[0], make([]byte, 8), 42))
		push(t, r, readOf(p[0], make([]byte, 8), 43))
		r.Submit(2, 0)
		switch err := r.SyncCancel(41); err {
		case unix.ENOENT:
		case unix.EINVAL:
			t.Skip("the kernel has no cancel by register call: before 6.0")
		default:
			t.Errorf("of nothing: %v", err)
		}
		for r.NextSQE() != nil { // it needs no submission
		}
		if err := r.SyncCancel(42); err != nil {
			t.Errorf("cancel: %v", err)
		}
		r.SubmitAndWait(0, 1, nil)
		cqe := r.Peek()
		if cqe == nil || cqe.UserData != 42 || cqe.Res != -int32(unix.ECANCELED) {
			t.Fatalf("%+v", cqe)
		}
		r.Next()
		r.Release()
		if _, err := unix.Write(p[1], []byte("data")); err != nil {
			t.Fatal(err)
		}
		r.SubmitAndWait(0, 1, nil)
		if cqe := r.Peek(); cqe == nil || cqe.UserData != 43 || cqe.Res != 4 {
			t.Fatalf("the other one: %+v", cqe)
		}
	})
}

func TestSetMaxWorkers(t *testing.T) {
	r := openRing(t, Options{Entries: 1})
	switch err := r.SetMaxWorkers(3, 5); err {
	case nil:
	case unix.EINVAL:
		t.Skip("the kernel's workers cannot be bounded: before 5.15")
	default:
		t.Fatal(err)
	}
	if err := r.SetMaxWorkers(0, 4); err != nil {
		t.Fatal(err)
	}
	var now [2]uint32 // zeros change nothing, and the kernel answers with what was
	if _, err := r.register(registerIOWQMaxWorkers, unsafe.Pointer(&now), len(now)); err != nil || now != [2]uint32{3, 4} {
		t.Errorf("%d workers, %v; want 3 and 4", now, err)
	}
}
