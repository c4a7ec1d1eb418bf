package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/mem"
)

// openDirect opens a file with O_DIRECT, or skips the test where there is no such thing.
func openDirect(t *testing.T, m *Manager, name string) *File {
	t.Helper()
	f, err := m.OpenFile(context.Background(), name, os.O_RDWR|O_DIRECT, 0)
	if errors.Is(err, errInvalid) || errors.Is(err, ErrUnsupported) {
		t.Skipf("no direct I/O in %s: %v", name, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, f)
	if !f.direct {
		t.Fatal("the file does not know that it is direct")
	}
	return f
}

func TestFile_Direct(t *testing.T) {
	const size = 3*DirectAlignment + 100 // ends in the middle of a sector
	content := noise(size, 17)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for view, f := range views(t, openDirect(t, m, named(t, content))) {
			buf := AlignedBuffer(5 * DirectAlignment)
			for name, read := range map[string]func() (int, error){
				"ReadAt":  func() (int, error) { return f.ReadAt(buf, 0) },
				"ReadvAt": func() (int, error) { return f.ReadvAt([][]byte{buf[:DirectAlignment], buf[DirectAlignment:]}, 0) },
			} {
				clear(buf)
				if n, err := read(); n != size || err != io.EOF || !bytes.Equal(buf[:n], content) {
					t.Errorf("%s, %s: %d, %v", view, name, n, err)
				}
			}
			// One operation: asking for more at the end of the file, which is no multiple of anything, is refused on some systems.
			g := openFile(t, m, f.Name(), os.O_RDONLY|O_DIRECT)
			before := m.Stats().Completed
			g.ReadAt(buf, 0)
			g.Close()
			if got := m.Stats().Completed - before; got != 1 {
				t.Errorf("%s: ReadAt over the end took %d operations", view, got)
			}
			if g := adopted(t, m, dup(t, Handle(f.Fd())), "duplicate"); g.direct != directShows {
				t.Errorf("an adopted descriptor: direct is %t", g.direct)
			}
			for range 2 * warmFrom { // of which none may ask the page cache: with O_DIRECT that would wait for the disk
				if n, err := f.ReadAt(buf[:DirectAlignment], DirectAlignment); n != DirectAlignment || err != nil {
					t.Fatal(n, err)
				}
			}
			if f.warm.Load() != 0 {
				t.Errorf("%s: the page cache was asked", view)
			}
			var w bytes.Buffer
			f.Seek(0, io.SeekStart)
			if n, err := f.WriteTo(&w); n != size || err != nil || !bytes.Equal(w.Bytes(), content) {
				t.Errorf("%s, WriteTo: %d, %v", view, n, err)
			}
			if at, err := f.Seek(0, io.SeekCurrent); at != size || err != nil {
				t.Errorf("%s: after that the position is %d, %v", view, at, err)
			}
			f.Seek(DirectAlignment, io.SeekStart)
			for i := range 2 {
				n, err := f.Readv([][]byte{buf[:DirectAlignment]})
				if n != DirectAlignment || err != nil || !bytes.Equal(buf[:n], content[(1+i)*DirectAlignment:][:n]) {
					t.Errorf("%s, Readv %d: %d, %v, or the wrong bytes", view, i, n, err)
				}
			}
			copy(buf, noise(DirectAlignment, 18))
			if n, err := f.WriteAt(buf[:DirectAlignment], 0); n != DirectAlignment || err != nil {
				t.Errorf("%s, WriteAt: %d, %v", view, n, err)
			}
			got, _ := os.ReadFile(f.Name())
			if !bytes.Equal(got[:DirectAlignment], buf[:DirectAlignment]) || !bytes.Equal(got[DirectAlignment:], content[DirectAlignment:]) {
				t.Errorf("%s, WriteAt: the content is wrong", view)
			}
			os.WriteFile(f.Name(), content, 0)
		}
	})
}

// TestFile_DirectStream writes and reads in sequence: every piece after the one before, at the end of an appended file too.
func TestFile_DirectStream(t *testing.T) {
	content := noise(6*DirectAlignment, 22)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, flag := range []int{0, os.O_APPEND} {
			name := named(t, nil)
			openDirect(t, m, name) // or skip
			for view, f := range views(t, openFile(t, m, name, os.O_RDWR|O_DIRECT|flag)) {
				os.Truncate(name, 0)
				f.Seek(0, io.SeekStart)
				buf := AlignedBuffer(len(content))
				copy(buf, content)
				for i := 0; i < len(buf); i += 2 * DirectAlignment {
					half := i + DirectAlignment
					if n, err := f.Write(buf[i:half]); n != DirectAlignment || err != nil {
						t.Errorf("%s, Write: %d, %v", view, n, err)
					}
					if n, err := f.Writev([][]byte{buf[half:][:DirectAlignment]}); n != DirectAlignment || err != nil {
						t.Errorf("%s, Writev: %d, %v", view, n, err)
					}
				}
				if at, err := f.Seek(0, io.SeekCurrent); at != int64(len(content)) || err != nil {
					t.Errorf("%s: the position is %d, %v", view, at, err)
				}
				f.Seek(0, io.SeekStart)
				clear(buf)
				if _, err := io.ReadFull(f, buf); err != nil || !bytes.Equal(buf, content) {
					t.Errorf("%s: read %v, or the wrong bytes", view, err)
				}
			}
		}
	})
}

// TestFile_Misaligned asks for direct I/O that most file systems refuse, and is told what was wrong. Those that do it all the
// same do it right.
func TestFile_Misaligned(t *testing.T) {
	content := noise(4*DirectAlignment, 19)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := openDirect(t, m, named(t, content))
		buf := AlignedBuffer(2 * DirectAlignment)
		for _, test := range []struct {
			what string
			b    []byte
			off  int64
		}{
			{"offset", buf, 1},
			{"buffer length", buf[:100], 0},
			{"buffer address", buf[1 : 1+DirectAlignment], 0},
		} {
			for name, call := range map[string]func() (int, error){
				"ReadAt":   func() (int, error) { return f.ReadAt(test.b, test.off) },
				"ReadvAt":  func() (int, error) { return f.ReadvAt([][]byte{test.b}, test.off) },
				"WriteAt":  func() (int, error) { return f.WriteAt(content[test.off:][:copy(test.b, content[test.off:])], test.off) },
				"WritevAt": func() (int, error) { copy(test.b, content[test.off:]); return f.WritevAt([][]byte{test.b}, test.off) },
			} {
				n, err := call()
				if err == nil {
					t.Logf("%s with a wrong %s: the file system does it", name, test.what)
					if n != len(test.b) || !bytes.Equal(test.b, content[test.off:][:n]) {
						t.Errorf("%s with a wrong %s: %d bytes, the wrong ones", name, test.what, n)
					}
					continue
				}
				var e *MisalignedError
				var op *OpError
				if n != 0 || !errors.As(err, &e) || !errors.As(err, &op) || op.Name != f.Name() || !errors.Is(err, errInvalid) ||
					!strings.Contains(err.Error(), "is not a multiple of 4096") {
					t.Errorf("%s with a wrong %s: %d, %v", name, test.what, n, err)
				}
			}
		}
		if got, _ := os.ReadFile(f.Name()); !bytes.Equal(got, content) {
			t.Error("the file has changed")
		}
	})
}

// TestFile_ExplainsMisalignment: an EINVAL is misalignment only on a direct file, and only where something is misaligned.
func TestFile_ExplainsMisalignment(t *testing.T) {
	aligned := AlignedBuffer(2 * DirectAlignment)
	direct := &File{file: &file{name: "direct", traits: traits{direct: true}}}
	buffered := &File{file: &file{name: "buffered"}}
	for _, test := range []struct {
		f    *File
		err  error
		off  int64
		b    []byte
		want string
	}{
		{direct, errInvalid, 0, aligned, ""},
		{direct, errInvalid, CurrentOffset, aligned, ""},
		{direct, errInvalid, 512, aligned, "offset"},
		{direct, errInvalid, 0, aligned[:512], "buffer length"},
		{direct, errInvalid, 0, aligned[512:][:DirectAlignment], "buffer address"},
		{direct, syscall.EIO, 512, aligned, ""},
		{direct, io.EOF, 512, aligned, ""},
		{buffered, errInvalid, 512, aligned, ""},
	} {
		in := error(&OpError{Op: "read", Name: test.f.name, Err: test.err})
		if test.err == io.EOF {
			in = io.EOF
		}
		err := test.f.explain(in, test.off, test.b)
		var e *MisalignedError
		if got := errors.As(err, &e); got != (test.want != "") || got && e.What != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s, %v at %d, %d bytes: %v, want %q", test.f.name, test.err, test.off, len(test.b), err, test.want)
		}
	}
}

func TestAlignedBuffer(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20} {
		for range 10 {
			b := AlignedBuffer(size)
			if len(b) != size || cap(b) != size || size > 0 && !mem.IsAligned(b, DirectAlignment) || len(bytes.Trim(b, "\x00")) != 0 {
				t.Errorf("%d bytes: length %d, capacity %d", size, len(b), cap(b))
			}
		}
	}
	for _, size := range []int{-1, -DirectAlignment, math.MinInt} {
		func() {
			defer func() {
				if what := recover(); what != "ringport: AlignedBuffer with a negative size" {
					t.Errorf("%d bytes: %v", size, what)
				}
			}()
			AlignedBuffer(size)
		}()
	}
}

// notSample is an offset where a warm file is read in the shortest way.
const notSample = 512

// TestFile_Warm: reads that the page cache answers make a file warm, and a sample of all offsets, however far apart, is still asked
// for with care.
func TestFile_Warm(t *testing.T) {
	for _, stride := range []int64{512, 4096, 12288, 1 << 16, 1 << 20} {
		samples := 0
		for i := range int64(64 * 100) {
			if isSample(i * stride) {
				samples++
			}
		}
		if samples < 50 || samples > 200 {
			t.Errorf("of 6400 offsets %d apart %d are samples", stride, samples)
		}
	}
	if isSample(notSample) {
		t.Error("the tests mean to read in the shortest way, and do not")
	}
	content := noise(1<<20, 20)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := openFile(t, m, named(t, content), os.O_RDWR)
		buf := make([]byte, 4096)
		readAll := func() {
			for off := 0; off < len(content); off += len(buf) {
				if n, err := f.ReadAt(buf, int64(off)); n != len(buf) || err != nil || !bytes.Equal(buf, content[off:][:n]) {
					t.Fatalf("at %d: %d, %v, or the wrong bytes", off, n, err)
				}
			}
		}
		before := m.Stats().Completed
		readAll()
		readAll()
		want := int32(warmFrom)
		if _, ok := tryCached(f.h, buf, 0); !ok || c.CallerDriven {
			want = 0 // this file system cannot tell, or its reads must not block the owner
		}
		if warm := f.warm.Load(); warm != want {
			t.Errorf("after reading all of it twice the file is %d warm, want %d", warm, want)
		}
		readAll()
		f.Close()
		if got, want := m.Stats().Completed-before, int64(3*len(content)/len(buf)); got != want {
			t.Errorf("%d reads show up as %d", want, got)
		}
	})
}

// TestFile_NoAllocations in the steady state, whichever way an operation takes.
func TestFile_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and makes sync.Pool forget at random")
	}
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		file := openFile(t, m, named(t, noise(8192, 21)), os.O_RDWR)
		r, w := filePipe(t, m)
		buf := make([]byte, 4096)
		bufs := [][]byte{buf[:1000], buf[1000:]}
		for view, f := range views(t, file) {
			if c.CallerDriven && f.ctx != nil {
				continue // context.AfterFunc, which wakes the loop when the context ends, allocates
			}
			for name, call := range map[string]func() error{
				"ReadAt":   func() error { return second(f.ReadAt(buf, 0)) },
				"Read":     func() error { f.Seek(0, io.SeekStart); return second(f.Read(buf)) },
				"WriteAt":  func() error { return second(f.WriteAt(buf, 0)) },
				"ReadvAt":  func() error { return second(f.ReadvAt(bufs, 0)) },
				"WritevAt": func() error { return second(f.WritevAt(bufs, 0)) },
			} {
				checkAllocations(t, fmt.Sprintf("%s, %s", name, view), call)
			}
		}
		for view, r := range views(t, r) {
			if c.CallerDriven && r.ctx != nil {
				continue
			}
			checkAllocations(t, "pipe, "+view, func() error {
				_, err := w.Write(buf)
				return errors.Join(err, second(r.Read(buf)))
			})
			r.SetReadDeadline(later)
			checkAllocations(t, "pipe and deadline, "+view, func() error {
				_, err := w.Write(buf)
				return errors.Join(err, r.SetReadDeadline(later), second(r.Read(buf)))
			})
			r.SetReadDeadline(time.Time{})
		}
	})
}

func checkAllocations(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	n := testing.AllocsPerRun(200, func() {
		if e := f(); e != nil {
			err = e
		}
	})
	if n != 0 || err != nil {
		t.Errorf("%s: %v allocations, %v", what, n, err)
	}
}
