package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/patience"
)

// TestFile_CloseWakesEverybody: readers and writers that wait in the kernel, or for their turn, on every view and in every way.
func TestFile_CloseWakesEverybody(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f, _ := duplex(t, m)
		fillPipe(t, Handle(f.Fd()))
		conn, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		const each = 8
		never := func(uintptr) bool { return false }
		calls := []func(f *File) error{
			func(f *File) error { return conn.Read(never) },
			func(f *File) error { return second(f.Read(make([]byte, 1))) },
			func(f *File) error { return second(f.Readv([][]byte{make([]byte, 1)})) },
			func(f *File) error { return second(f.Write(make([]byte, 1<<20))) },
			func(f *File) error { return second(f.Writev([][]byte{make([]byte, 1<<20)})) },
			func(f *File) error { return second(f.WriteTo(&bytes.Buffer{})) },
			func(f *File) error { return second(f.ReadFrom(bytes.NewReader(make([]byte, 1<<20)))) },
		}
		if pollsRoom {
			calls = append(calls, func(f *File) error { return conn.Write(never) })
		}
		errs := make(chan error, each*len(calls))
		for i := range each {
			view := f
			if i%2 == 0 {
				view = f.WithContext(t.Context())
			}
			for _, call := range calls {
				go func() { errs <- call(view) }()
			}
		}
		for waiting(f) < cap(errs) {
			runtime.Gosched()
		}
		const closers = 6
		closed := make(chan error, closers)
		for range closers {
			go func() { closed <- f.Close() }()
		}
		first := 0
		for range closers {
			if err := <-closed; err == nil {
				first++
			} else if !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		}
		if first != 1 {
			t.Errorf("%d Closes say that they were the first", first)
		}
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, os.ErrClosed) || errors.Is(err, ErrManagerClosed) {
				t.Errorf("a waiting call: %v", err)
			}
		}
		if s := m.Stats(); s.InFlight != 0 || waiting(f) != 0 {
			t.Errorf("%d operations and %d calls are left", s.InFlight, waiting(f))
		}
	})
}

// TestFile_CloseLeavesOtherFilesAlone: what a call that waited for its turn was made with is another file's as soon as the call is told of the
// close. Under the race detector whoever looks at it then is found out at once.
func TestFile_CloseLeavesOtherFilesAlone(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		const readers = 8
		other, _ := duplex(t, m)
		for range scaled(100) {
			f, _ := duplex(t, m)
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
						t.Error(err)
					}
					if _, err := other.Do(ptr(func(op *Op) { *op = Nop() })); err != nil {
						t.Errorf("another file: %v", err)
					}
				})
			}
			for waiting(f) < readers {
				runtime.Gosched()
			}
			must(t, f.Close())
			wg.Wait()
		}
	})
}

// TestFile_CloseBeforeTheOperation: a call that was there before Close, and whose operation Close did not see, has none.
func TestFile_CloseBeforeTheOperation(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, _ := filePipe(t, m)
		ctx, cancel := context.WithTimeout(context.Background(), patience.Limit) // or else a failure hangs
		defer cancel()
		view := r.WithContext(ctx)
		if err := view.enter("read"); err != nil {
			t.Fatal(err)
		}
		turn := r.turnOf(reading)
		turn.take()
		r.state.Or(fileClosed)
		for what, err := range map[string]error{
			"an operation": second(view.readOnce(make([]byte, 1), CurrentOffset)), "several": second(view.vectored([][]byte{{1}}, CurrentOffset, reading, true)),
		} {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if m.shared {
			if err := view.takeTurn("read", turn, reading); !errors.Is(err, os.ErrClosed) {
				t.Errorf("waiting for a turn: %v", err)
			}
		}
		r.state.And(^fileClosed)
		view.leave()
	})
}

// TestFile_CloseTakesNoByte: the read that it ends leaves what comes later to others that have the pipe open.
func TestFile_CloseTakesNoByte(t *testing.T) {
	forStreams(t, func(t *testing.T, m *Manager, r *File, feed func(string)) {
		other := adopted(t, m, dup(t, Handle(r.Fd())), "duplicate")
		closed := make(chan error, 1)
		whileInFlight(m, func() { closed <- r.Close() })
		if n, err := r.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%d, %v", n, err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		feed("hello\n")
		buf := make([]byte, 8)
		if n, err := other.Read(buf); string(buf[:n]) != "hello\n" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
	})
}

// TestFile_CloseInsideItsOwnCall: on a caller-driven manager a callback may close the file that Do is waiting for, or read it.
func TestFile_CloseInsideItsOwnCall(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := filePipe(t, m)
		var nested result
		whileInFlight(m, func() {
			put(t, Handle(w.Fd()), "ab")
			b := make([]byte, 1)
			n, err := r.Read(b)
			nested = result{n, err}
			if n == 1 && b[0] != 'a' && b[0] != 'b' {
				t.Errorf("%q", b)
			}
		})
		if n, err := r.Read(make([]byte, 1)); n != 1 || err != nil || nested != (result{1, nil}) {
			t.Errorf("%d, %v; inside: %v", n, err, nested)
		}

		// More than one call is under way, each inside the other.
		var closing error
		whileInFlight(m, func() {
			whileInFlight(m, func() { closing = r.Close() })
			if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrClosed) {
				t.Errorf("inside: %d, %v", n, err)
			}
		})
		fd := r.Fd()
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrClosed) || closing != nil {
			t.Errorf("%d, %v; Close: %v", n, err, closing)
		}
		if isOpen(fd) {
			t.Error("the descriptor is still open")
		}

		// A write that has more to write does not go on after that.
		_, w = filePipe(t, m)
		fillPipe(t, Handle(w.Fd()))
		whileInFlight(m, func() { closing = w.Close() })
		if n, err := w.Write(make([]byte, 100)); n != 0 || !errors.Is(err, os.ErrClosed) || closing != nil {
			t.Errorf("write: %d, %v; Close: %v", n, err, closing)
		}
	})
}

// TestFile_RecycledDescriptors closes files under those who read them, while others get the numbers anew: whatever a file returns
// is its own content.
func TestFile_RecycledDescriptors(t *testing.T) {
	rounds := scaled(1000)
	if testing.Short() {
		rounds = 100
	}
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		var names [8]string
		for i := range names {
			names[i] = named(t, bytes.Repeat([]byte{byte('a' + i)}, 5000))
		}
		numbers := map[uintptr]int{}
		var readers sync.WaitGroup
		defer readers.Wait()
		for round := range rounds {
			own := round % len(names)
			f, err := m.Open(context.Background(), names[own])
			if err != nil {
				t.Fatal(err)
			}
			numbers[f.Fd()]++
			started := make(chan struct{}, 2)
			for i := range 2 {
				view := f
				if (round+i)%3 == 0 {
					view = f.WithContext(t.Context())
				}
				readers.Go(func() { readUntilClosed(t, view, byte('a'+own), started) })
			}
			<-started
			if round%2 == 0 {
				<-started
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		if len(numbers) == rounds {
			t.Error("no descriptor was used twice")
		}
	})
}

// readUntilClosed reads f in all ways until it is closed. All its bytes are c.
func readUntilClosed(t *testing.T, f *File, c byte, started chan<- struct{}) {
	started <- struct{}{}
	buf := make([]byte, 500)
	for i := 0; ; i++ {
		runtime.Gosched() // who closes is not to wait for a time slice
		var n int
		var err error
		if i%5 == 0 {
			n, err = f.Read(buf)
		} else {
			n, err = f.ReadAt(buf, int64(i*7%4000))
		}
		if bytes.Count(buf[:n], []byte{c}) != n {
			t.Errorf("a file of %q returned %q", c, buf[:n])
			return
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil && err.Error() != "EOF" {
			t.Errorf("a file of %q: %v", c, err)
			return
		}
	}
}

// TestFile_RecycledPipes: a read that Close ends does not take the bytes of the pipe that gets the number next.
func TestFile_RecycledPipes(t *testing.T) {
	rounds := scaled(1000)
	if testing.Short() {
		rounds = 100
	}
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		recycled := 0
		last := ^uintptr(0)
		for round := range rounds {
			r, w := filePipe(t, m)
			if r.Fd() == last {
				recycled++
			}
			last = r.Fd()
			want := fmt.Sprint(round)
			put(t, Handle(w.Fd()), want)
			buf := make([]byte, 16)
			if n, err := r.Read(buf); string(buf[:n]) != want || err != nil {
				t.Fatalf("round %d: %q, %v", round, buf[:n], err)
			}
			errs := make(chan error, 2)
			for range cap(errs) {
				go func() {
					n, err := r.Read(make([]byte, 16))
					if n != 0 {
						err = fmt.Errorf("%d bytes of nobody's", n)
					}
					errs <- err
				}()
			}
			for round%3 != 0 && waiting(r) < 2 { // sometimes Close comes at once
				runtime.Gosched()
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			w.Close()
			for range cap(errs) {
				if err := <-errs; !errors.Is(err, os.ErrClosed) {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		}
		if recycled == 0 {
			t.Error("no descriptor was used twice in a row")
		}
	})
}

// TestFile_ManagerClosesUnderIt: closing the manager ends the calls of its files too.
func TestFile_ManagerClosesUnderIt(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, _ := filePipe(t, m)
		closed := make(chan error, 1)
		whileInFlight(m, func() { closed <- m.Close() })
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, ErrManagerClosed) {
			t.Errorf("%d, %v", n, err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// A call on its caller's own thread uses the driver as any other does, so that the manager's Close waits for it: for one of a file, for one
// that Do makes, and for a chain.
func TestManagerCloseWaitsForCallsHere(t *testing.T) {
	real, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	h := Handle(real.Fd())
	onFile := func(do func(f *File) error) func(m *Manager) error {
		return func(m *Manager) error {
			f, err := m.NewFile(h, real.Name())
			if err != nil {
				return err
			}
			defer f.cleanup.Stop() // the handle is real's
			return do(f)
		}
	}
	for name, call := range map[string]func(m *Manager) error{
		"Write": onFile(func(f *File) error { return second(f.WriteAt([]byte("x"), 0)) }),
		"Sync":  onFile((*File).Sync),
		"Do": func(m *Manager) error {
			op := Fsync(h)
			op.req.Flags |= driver.Regular
			_, err := m.Do(context.Background(), &op)
			return err
		},
		"DoChain": func(m *Manager) error {
			op := Fsync(h)
			return m.DoChain(context.Background(), &op)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, d := openFake(t, Config{})
				closed := make(chan error)
				d.here = func() {
					go func() { closed <- m.Close() }()
					synctest.Wait() // until Close can't go on
					m.Wake()        // which has it look again
					synctest.Wait()
					if !m.closing() || d.closed.Load() {
						t.Error("Close does not wait for the call")
					}
				}
				if err := call(m); !errors.Is(err, ErrUnsupported) {
					t.Errorf("%v: the call did not run here", err)
				}
				if err := <-closed; err != nil || !d.closed.Load() {
					t.Error(err)
				}
				if err := call(m); !errors.Is(err, ErrManagerClosed) {
					t.Errorf("after the manager's Close: %v", err)
				}
			})
		})
	}
}
