package ringport

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// nonblocking makes a pipe whose ends have O_NONBLOCK.
func nonblocking(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// Splices of O_NONBLOCK pipes are started again as polls by the driver. A queue of one place has no room for all of them at once:
// none may be forgotten, nor its cancel.
func TestLaw3_StartedAgainWithAFullQueue(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.Depth = 1
		const pipes = 8
		for round := range 10 {
			m := open(t, c)
			_, out := nonblocking(t)
			var ops [pipes]Op
			var ins [pipes]int
			var chs [pipes]<-chan result
			for i := range ops {
				var in int
				in, ins[i] = nonblocking(t)
				ops[i] = Splice(Handle(in), CurrentOffset, Handle(out), CurrentOffset, 16, 0)
				chs[i] = start(t, m, &ops[i])
			}
			for i := pipes - 1; i >= 0; i-- {
				want := result{1, nil}
				if i%2 == round%2 {
					m.Cancel(&ops[i])
					want.n = 0
				} else if _, err := unix.Write(ins[i], []byte{1}); err != nil {
					t.Fatal(err)
				}
				res := receive(t, m, chs[i])
				if res.n != want.n || (want.n == 0) != errors.Is(res.err, ErrCanceled) {
					t.Fatalf("round %d, splice %d: %+v", round, i, res)
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// 4 GiB do not fit an entry's length: that is no end of the file.
func TestSpliceOfFourGiB(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		h := Handle(tempFile(t, m, make([]byte, 4096)).Fd())
		_, w := pipe(t, m)
		op := Splice(h, 0, w, CurrentOffset, 1<<32, 0)
		if n, err := m.Do(context.Background(), &op); n != 4096 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		op = Splice(h, 0, w, CurrentOffset, -1, 0)
		if n, err := m.Do(context.Background(), &op); n != 0 || !errors.Is(err, unix.EINVAL) {
			t.Errorf("length -1: %d, %v", n, err)
		}
	})
}

// A read of an eventfd waits for a write to it, though lseek says that it has a position.
func TestFile_EventFD(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.NewFile(Handle(fd), "eventfd")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		read := make(chan error)
		go func() {
			_, err := f.Read(make([]byte, 8))
			read <- err
		}()
		within(t, func() {
			for m.Stats().InFlight == 0 {
				m.Wake()
			}
			if _, err := f.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				t.Error(err)
			}
			if err := <-read; err != nil {
				t.Error(err)
			}
		})
	})
}

// An entry that wishes to be answered only if it fails, and one that is answered many times, come back once all the same.
func TestSQE_AnsweredNeverOrOften(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		if c.Backend != BackendIOUring {
			return
		}
		m := open(t, c)
		op := SQE("nop", func(e *RawSQE) { e.Flags = 1 << 6 }) // IOSQE_CQE_SKIP_SUCCESS
		if res := receive(t, m, start(t, m, &op)); res.err != nil {
			t.Error(res.err)
		}
		r, w := pipe(t, m)
		op = SQE("poll", func(e *RawSQE) { e.Opcode, e.FD, e.OpFlags, e.Len = 6, int32(r), unix.POLLIN, 1 }) // multishot
		ch := start(t, m, &op)
		for range 3 {
			put(t, w, "x")
			poll := PollReady(r, PollIn) // the kernel has answered both
			receive(t, m, start(t, m, &poll))
			one := Read(r, make([]byte, 1), CurrentOffset)
			receive(t, m, start(t, m, &one))
		}
		if n := m.Stats().InFlight; n != 1 || len(ch) != 0 {
			t.Errorf("%d in flight, %d callbacks, while the kernel has the entry", n, len(ch))
		}
		m.Cancel(&op)
		if res := receive(t, m, ch); res.n&unix.POLLIN == 0 || res.err != nil {
			t.Errorf("not the first answer: %+v", res)
		}
	})
}
