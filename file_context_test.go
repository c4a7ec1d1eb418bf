package ringport

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
)

// stream is something that a Read waits for, and a way to feed it.
type stream struct {
	name string
	open func(t *testing.T, m *Manager) (f *File, feed func(s string))
}

// pipeStream is the reading end of a pipe.
func pipeStream(t *testing.T, m *Manager) (*File, func(string)) {
	r, w := filePipe(t, m)
	return r, feedTo(t, w)
}

// duplexStream is one of two ends that both read and write.
func duplexStream(t *testing.T, m *Manager) (*File, func(string)) {
	f, peer := duplex(t, m)
	return f, feedTo(t, peer)
}

func duplex(t *testing.T, m *Manager) (f, peer *File) {
	t.Helper()
	a, b, err := newDuplex()
	if err != nil {
		t.Fatal(err)
	}
	return adopted(t, m, a, "duplex"), adopted(t, m, b, "peer")
}

// feedTo writes to w past its manager.
func feedTo(t *testing.T, w *File) func(string) {
	return func(s string) { put(t, Handle(w.Fd()), s) }
}

// forStreams runs f for each stream on each backend in both modes.
func forStreams(t *testing.T, f func(t *testing.T, m *Manager, r *File, feed func(s string))) {
	t.Helper()
	for _, s := range streams() {
		t.Run(s.name, func(t *testing.T) {
			forEach(t, func(t *testing.T, c Config) {
				m := open(t, c)
				r, feed := s.open(t, m)
				f(t, m, r, feed)
			})
		})
	}
}

// endInFlight ends ctx, if it does not by itself, when the caller's next operation is in flight.
func endInFlight(t *testing.T, m *Manager, ctx context.Context, end func()) {
	if _, ok := ctx.Deadline(); ok {
		t.Cleanup(end)
		return
	}
	whileInFlight(m, end)
}

// TestFile_BlockedReadEndsWithItsContext, by whatever cause, and takes no byte with it.
func TestFile_BlockedReadEndsWithItsContext(t *testing.T) {
	forStreams(t, func(t *testing.T, m *Manager, r *File, feed func(string)) {
		flags, _ := modesOf(r.Fd())
		for i, cause := range causes {
			buf := make([]byte, 8)
			ctx, end := cause.ctx()
			endInFlight(t, m, ctx, end)
			n, err := r.WithContext(ctx).Read(buf)
			checkCause(t, n, err, cause.want)

			sent := fmt.Sprintf("line %d\n", i) // terminals pass on lines
			feed(sent)
			if n, err := r.Read(buf); string(buf[:n]) != sent || err != nil {
				t.Errorf("after %s: read %q, %v; sent was %q", cause.name, buf[:n], err, sent)
			}
			ctx, end = cause.ctx()
			end()
			feed(sent)
			n, err = r.WithContext(ctx).Read(buf)
			checkCause(t, n, err, cause.want)
			if n, err := r.Read(buf); string(buf[:n]) != sent || err != nil {
				t.Errorf("after %s before the start: read %q, %v", cause.name, buf[:n], err)
			}
		}
		if now, _ := modesOf(r.Fd()); now != flags {
			t.Errorf("the descriptor's flags were %#x and are %#x", flags, now)
		}
	})
}

// TestFile_BlockedWriteEndsWithItsContext: what it says it wrote is in the pipe, and no more.
func TestFile_BlockedWriteEndsWithItsContext(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := filePipe(t, m)
		before := fillPipe(t, Handle(w.Fd()))
		ctx, cancel := context.WithCancel(context.Background())
		whileInFlight(m, cancel)
		n, err := w.WithContext(ctx).Write(make([]byte, 3000))
		if n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("Write to a full pipe: %d, %v", n, err)
		}
		// Half of the next one fits.
		if _, err := io.ReadFull(r, make([]byte, 8192)); err != nil {
			t.Fatal(err)
		}
		before -= 8192
		ctx, cancel = context.WithCancel(context.Background())
		whileInFlight(m, cancel)
		n, err = w.WithContext(ctx).Write(make([]byte, 64*4096))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Write of more than fits: %d, %v", n, err)
		}
		w.Close()
		if rest, err := io.ReadAll(r); len(rest) != before+n || err != nil {
			t.Errorf("%d bytes were in the pipe, %d written, %d came out, %v", before, n, len(rest), err)
		}
	})
}

// TestFile_OthersEndToo: what takes an io.Reader ends with the context, with all that came until then, and without a line of
// its own.
func TestFile_OthersEndToo(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for _, test := range []struct {
			name string
			read func(r io.Reader) (got string, err error)
			want string
		}{
			{"io.Copy", func(r io.Reader) (string, error) {
				var s struct {
					io.Writer
					b []byte
				}
				s.Writer = writerFunc(func(p []byte) (int, error) { s.b = append(s.b, p...); return len(p), nil })
				n, err := io.Copy(s, r)
				if int(n) != len(s.b) {
					err = errors.New("wrong count")
				}
				return string(s.b), err
			}, "{\"a\":1}\n{\"a\":2}\n{"},
			{"io.ReadAll", func(r io.Reader) (string, error) {
				b, err := io.ReadAll(r)
				return string(b), err
			}, "{\"a\":1}\n{\"a\":2}\n{"},
			{"bufio.Scanner", func(r io.Reader) (got string, err error) {
				s := bufio.NewScanner(r)
				for s.Scan() {
					got += s.Text() + ";"
				}
				return got, s.Err()
			}, "{\"a\":1};{\"a\":2};{;"},
			{"json.Decoder", func(r io.Reader) (got string, err error) {
				d := json.NewDecoder(r)
				for {
					var v struct{ A int }
					if err := d.Decode(&v); err != nil {
						return got, err
					}
					got += fmt.Sprint(v.A, ";")
				}
			}, "1;2;"},
		} {
			m := open(t, c)
			r, w := filePipe(t, m)
			put(t, Handle(w.Fd()), "{\"a\":1}\n{\"a\":2}\n{")
			ctx, cancel := context.WithCancelCause(context.Background())
			whenWaiting(m, r, func() { cancel(errOutOfPaper) })
			got, err := test.read(r.WithContext(ctx))
			if got != test.want || !errors.Is(err, errOutOfPaper) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %q, %v", test.name, got, err)
			}
		}
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// whenWaiting calls f when all that was in the pipe has been read and a read waits for more.
func whenWaiting(m *Manager, r *File, f func()) {
	empty := func() bool { return isEmpty(Handle(r.Fd())) }
	if m.shared {
		go func() {
			for !empty() || m.Stats().InFlight == 0 {
				runtime.Gosched()
			}
			f()
		}()
		return
	}
	var look func()
	look = func() {
		if !empty() {
			m.AfterFunc(0, look)
			return
		}
		f()
	}
	m.AfterFunc(0, look)
}

// TestFile_WaitersForATurn: of many readers of one pipe one waits for the pipe and the others for it. Each can be ended alone,
// and when the first is, the next takes its place.
func TestFile_WaitersForATurn(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := filePipe(t, m)
		const readers = 20
		type read struct {
			number int
			result
		}
		results := make(chan read, readers)
		var cancels [readers]context.CancelFunc
		for i := range readers {
			ctx, cancel := context.WithCancel(context.Background())
			cancels[i] = cancel
			go func() {
				n, err := r.WithContext(ctx).Read(make([]byte, 1))
				results <- read{i, result{n, err}}
			}()
			for waiting(r) <= i {
				runtime.Gosched()
			}
		}
		expect := func(number, n int, want error) {
			t.Helper()
			if got := <-results; got.number != number || got.n != n || !errors.Is(got.err, want) {
				t.Errorf("reader %d: %d, %v; want reader %d: %d, %v", got.number, got.n, got.err, number, n, want)
			}
		}
		cancels[7]() // in the middle of the queue
		expect(7, 0, context.Canceled)
		cancels[0]() // in the kernel
		expect(0, 0, context.Canceled)
		for i := 1; i < readers; i++ {
			if i != 7 {
				put(t, Handle(w.Fd()), "x")
				expect(i, 1, nil)
			}
		}
		if n := waiting(r); n != 0 {
			t.Errorf("%d calls are left", n)
		}
	})
}

// waiting is how many calls Close would end.
func waiting(f *File) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := f.calls.first; c != nil; c = c.next {
		n++
	}
	if f.in != nil && f.in.Waits() {
		n++
	}
	return n
}

// TestFile_ViewsAreTheFile: a view is no copy; closing it closes the file.
func TestFile_ViewsAreTheFile(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := openFile(t, m, named(t, []byte("abcdef")), os.O_RDONLY)
		ctx, cancel := context.WithCancel(context.Background())
		one, two := f.WithContext(ctx), f.WithContext(context.Background())
		buf := make([]byte, 1)
		for i, view := range []*File{f, one, two, one.WithContext(t.Context())} {
			if n, err := view.Read(buf); n != 1 || err != nil || buf[0] != "abcd"[i] {
				t.Errorf("view %d: %q, %d, %v", i, buf, n, err)
			}
		}
		cancel()
		if _, err := one.Read(buf); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := one.Close(); err != nil { // its context has nothing to say here
			t.Error(err)
		}
		for _, view := range []*File{f, two} {
			if _, err := view.Read(buf); !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("WithContext(nil) did not panic")
				}
			}()
			f.WithContext(noContext)
		}()
	})
}

var noContext context.Context
