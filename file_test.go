package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/ringport/ringport/internal/patience"
)

// openFile opens a file that the end of the test closes, unless it is closed by then.
func openFile(t testing.TB, m *Manager, name string, flag int) *File {
	t.Helper()
	f, err := m.OpenFile(context.Background(), name, flag, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, f)
	return f
}

func closeAtEnd(t testing.TB, f *File) {
	t.Cleanup(func() {
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
}

// adopted makes a File of a handle, and closes it at the end of the test.
func adopted(t testing.TB, m *Manager, h Handle, name string) *File {
	t.Helper()
	f, err := m.NewFile(h, name)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, f)
	return f
}

// filePipe is a pipe as two Files.
func filePipe(t testing.TB, m *Manager) (r, w *File) {
	t.Helper()
	in, out, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	return adopted(t, m, in, "pipe"), adopted(t, m, out, "pipe")
}

// named makes a file with the given content and returns its name.
func named(t testing.TB, content []byte) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1}).Read(b)
	return b
}

// views are a file as the calls take it that may run on their caller's own thread, and as those that a context can end.
func views(t testing.TB, f *File) map[string]*File {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return map[string]*File{"plain": f, "with a context": f.WithContext(ctx)}
}

func TestFile_IsAReader(t *testing.T) {
	for _, size := range []int{0, 1, scaled(4096), scaled(20_000)} {
		content := noise(size, 1)
		name := named(t, content)
		forEach(t, func(t *testing.T, c Config) {
			m := open(t, c)
			for view, f := range views(t, openFile(t, m, name, os.O_RDONLY)) {
				if _, err := f.Seek(0, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(f, content); err != nil {
					t.Errorf("%s, %d bytes: %v", view, size, err)
				}
			}
			r, w := filePipe(t, m)
			put(t, Handle(w.Fd()), string(content))
			w.Close()
			if err := iotest.TestReader(struct{ io.Reader }{r}, content); err != nil {
				t.Errorf("pipe, %d bytes: %v", size, err)
			}
		})
	}
}

// fileLike is what File and os.File have in common.
type fileLike interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.StringWriter
	io.ReaderFrom
	io.WriterTo
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
}

// TestFile_AgainstOS does the same things at random to a File and to an os.File.
func TestFile_AgainstOS(t *testing.T) {
	steps := scaled(300)
	if testing.Short() {
		steps = 100
	}
	for _, flag := range []int{os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDONLY, os.O_WRONLY} {
		forEach(t, func(t *testing.T, c Config) {
			m := open(t, c)
			for _, view := range []string{"plain", "with a context"} {
				ours, theirs := named(t, noise(5000, 2)), named(t, noise(5000, 2))
				f := views(t, openFile(t, m, ours, flag))[view]
				o, err := os.OpenFile(theirs, flag, 0)
				if err != nil {
					t.Fatal(err)
				}
				random := rand.New(rand.NewPCG(uint64(flag), 3))
				seed := random.Uint64()
				for i := range steps {
					got := act(f, rand.New(rand.NewPCG(seed, uint64(i))))
					want := act(o, rand.New(rand.NewPCG(seed, uint64(i))))
					if got != want {
						t.Fatalf("flag %#x, %s, step %d:\ngot  %s\nwant %s", flag, view, i, got, want)
					}
				}
				o.Close()
				got, _ := os.ReadFile(ours)
				if want, _ := os.ReadFile(theirs); !bytes.Equal(got, want) {
					t.Fatalf("flag %#x, %s: the files differ", flag, view)
				}
			}
		})
	}
}

// act does one thing to f, as random says, and describes it with all its results. It writes at least a byte: an os.File asks the
// system to write nothing, and we don't. (Windows: nor to read nothing.)
func act(f fileLike, random *rand.Rand) string {
	const size = 20_000
	off, b := random.Int64N(size), make([]byte, 1+random.IntN(3000))
	if random.IntN(10) == 0 && runtime.GOOS != "windows" {
		b = nil
	}
	if random.IntN(20) == 0 {
		off = -1 - off
	}
	var n int64
	var err error
	set := func(k int, e error) { n, err = int64(k), e }
	what := random.IntN(11)
	switch what {
	case 0:
		set(f.Read(b))
	case 1:
		set(f.ReadAt(b, off))
	case 2:
		set(f.Write(noise(1+len(b), 4)))
	case 3:
		set(f.WriteAt(noise(1+len(b), 5), off))
	case 4:
		n, err = f.Seek(off, random.IntN(3))
	case 5:
		err = f.Truncate(off)
	case 6:
		set(f.WriteString(string(noise(1+len(b), 6))))
	case 7:
		n, err = f.ReadFrom(struct{ io.Reader }{bytes.NewReader(noise(1+len(b), 7))})
	case 8:
		var w bytes.Buffer
		n, err = f.WriteTo(struct{ io.Writer }{&w})
		b = w.Bytes()
	case 9:
		if random.IntN(8) == 0 { // it takes long
			err = f.Sync()
		}
	case 10:
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil {
			n = info.Size()
		}
	}
	return fmt.Sprintf("%d(%d bytes, offset %d): %d, %s, %x", what, len(b), off, n, kindOf(err), b)
}

// kindOf is what an error means, in words that do not depend on whose error it is.
func kindOf(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil, err == io.EOF:
		return fmt.Sprint(err)
	case errors.As(err, &errno):
		return errno.Error()
	case strings.Contains(err.Error(), "negative offset"):
		return "negative offset"
	case strings.Contains(err.Error(), "O_APPEND"):
		return "append mode"
	}
	return "strange: " + err.Error()
}

func TestFile_Vectored(t *testing.T) {
	// Empty buffers, more buffers than one operation takes, and all sizes of the last one.
	var sizes []int
	for i := range 2 * maxVec {
		sizes = append(sizes, i%7)
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	content := noise(total, 8)
	split := func(b []byte) (bufs [][]byte) {
		for _, n := range sizes {
			bufs = append(bufs, b[:n:n])
			b = b[n:]
		}
		return bufs
	}
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for view, f := range views(t, openFile(t, m, named(t, nil), os.O_RDWR)) {
			check := func(what string, n, want int, err, wantErr error, got, wantBytes []byte) {
				t.Helper()
				if n != want || !errors.Is(err, wantErr) || !bytes.Equal(got, wantBytes) {
					t.Errorf("%s, %s: %d, %v, right bytes %t; want %d, %v", view, what, n, err, bytes.Equal(got, wantBytes), want, wantErr)
				}
			}
			n, err := f.WritevAt(split(content), 10)
			onDisk, _ := os.ReadFile(f.Name())
			check("WritevAt", n, total, err, nil, onDisk, append(make([]byte, 10), content...))
			got := make([]byte, total)
			n, err = f.ReadvAt(split(got), 10)
			check("ReadvAt", n, total, err, nil, got, content)
			got = make([]byte, total)
			n, err = f.ReadvAt(split(got), 15)
			check("ReadvAt past the end", n, total-5, err, io.EOF, got[:total-5], content[5:])

			f.Seek(10, io.SeekStart)
			got = make([]byte, total)
			n, err = f.Readv(split(got))
			if n <= 0 || err != nil || !bytes.Equal(got[:n], content[:n]) {
				t.Errorf("%s, Readv: %d, %v", view, n, err)
			}
			f.Seek(0, io.SeekEnd)
			n, err = f.Readv(split(got))
			check("Readv at the end", n, 0, err, io.EOF, nil, nil)
			n, err = f.Writev(split(content))
			onDisk, _ = os.ReadFile(f.Name())
			check("Writev", n, total, err, nil, onDisk[10+total:], content)

			for name, bufs := range map[string][][]byte{"none": nil, "empty": {nil, {}}} {
				for what, call := range map[string]func() (int, error){
					"Readv":    func() (int, error) { return f.Readv(bufs) },
					"Writev":   func() (int, error) { return f.Writev(bufs) },
					"ReadvAt":  func() (int, error) { return f.ReadvAt(bufs, 3) },
					"WritevAt": func() (int, error) { return f.WritevAt(bufs, 3) },
				} {
					n, err := call()
					check(what+" "+name, n, 0, err, nil, nil, nil)
				}
			}
			f.Truncate(0)
		}
	})
}

func TestFile_Copy(t *testing.T) {
	content := noise(3*copyBytes+77, 9)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		from := openFile(t, m, named(t, content), os.O_RDONLY)
		to := openFile(t, m, named(t, nil), os.O_RDWR)
		if n, err := io.Copy(to, from); n != int64(len(content)) || err != nil {
			t.Errorf("file to file: %d, %v", n, err)
		}
		if got, _ := os.ReadFile(to.Name()); !bytes.Equal(got, content) {
			t.Error("file to file: the content differs")
		}

		// A pipe holds less than that: each end waits for the other, which is not the manager's.
		r, w := filePipe(t, m)
		out := make(chan []byte, 1)
		go func() {
			b, _ := io.ReadAll(rawReader(r.Fd()))
			out <- b
		}()
		from.Seek(0, io.SeekStart)
		if n, err := io.Copy(w, from); n != int64(len(content)) || err != nil {
			t.Errorf("file to pipe: %d, %v", n, err)
		}
		w.Close()
		if got := <-out; !bytes.Equal(got, content) {
			t.Error("file to pipe: the content differs")
		}

		r, w = filePipe(t, m)
		in := make(chan struct{})
		go func() {
			for b := content; len(b) > 0; {
				n, err := rawWrite(Handle(w.Fd()), b)
				if err != nil {
					t.Error(err)
					break
				}
				b = b[n:]
			}
			close(in)
		}()
		to.Truncate(0)
		to.Seek(0, io.SeekStart)
		n, err := io.CopyN(to, r, int64(len(content)))
		<-in
		if n != int64(len(content)) || err != nil {
			t.Errorf("pipe to file: %d, %v", n, err)
		}
		if got, _ := os.ReadFile(to.Name()); !bytes.Equal(got, content) {
			t.Error("pipe to file: the content differs")
		}
	})
}

// rawReader reads a handle past everything.
type rawReader Handle

func (h rawReader) Read(p []byte) (int, error) {
	n, err := rawRead(Handle(h), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// TestFile_ReadFromReportsWhatItWrote ends a copy into a full pipe: what it says it wrote is what comes out.
func TestFile_ReadFromReportsWhatItWrote(t *testing.T) {
	content := noise(10*copyBytes, 10)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		r, w := filePipe(t, m)
		ctx, cancel := context.WithCancel(context.Background())
		whileInFlight(m, cancel)
		n, err := io.Copy(w.WithContext(ctx), struct{ io.Reader }{bytes.NewReader(content)})
		if !errors.Is(err, context.Canceled) || n >= int64(len(content)) {
			t.Errorf("copy: %d, %v", n, err)
		}
		w.Close()
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content[:n]) {
			t.Errorf("%d bytes were written, by the copy's account; %d came out, %v", n, len(got), err)
		}

		// What has no use any more is not read from the source.
		source := bytes.NewReader(content)
		if n, err := w.WithContext(ctx).ReadFrom(source); n != 0 || err == nil || source.Len() != len(content) {
			t.Errorf("copy to a closed file: %d, %v, %d bytes left in the source", n, err, source.Len())
		}
	})
}

// TestFile_BadInput asks for what cannot be. Nothing of it reaches the manager's driver, or else the kernel says what is wrong.
func TestFile_BadInput(t *testing.T) {
	content := []byte("content")
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := openFile(t, m, named(t, content), os.O_RDWR)
		appending := openFile(t, m, f.Name(), os.O_WRONLY|os.O_APPEND)
		readOnly := openFile(t, m, f.Name(), os.O_RDONLY)
		dir := openFile(t, m, filepath.Dir(f.Name()), os.O_RDONLY)
		r, w := filePipe(t, m)
		var none *File
		closed := openFile(t, m, f.Name(), os.O_RDWR)
		if err := closed.Close(); err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancel(context.Background())
		cancel()
		buf := make([]byte, 4)
		bufs := [][]byte{buf}
		for _, test := range []struct {
			name string
			call func() error
			want error
			op   string
		}{
			{"ReadAt before the start", func() error { return second(f.ReadAt(buf, -1)) }, fs.ErrInvalid, "read"},
			{"WriteAt before the start", func() error { return second(f.WriteAt(buf, -1)) }, ErrNegativeOffset, "write"},
			{"ReadvAt before the start", func() error { return second(f.ReadvAt(bufs, -1)) }, ErrNegativeOffset, "readv"},
			{"WritevAt before the start", func() error { return second(f.WritevAt(bufs, -1)) }, ErrNegativeOffset, "writev"},
			{"Allocate before the start", func() error { return f.Allocate(-1, 8) }, ErrNegativeOffset, "fallocate"},
			{"Allocate nothing", func() error { return f.Allocate(0, 0) }, errInvalid, "fallocate"},
			{"Truncate to less than nothing", func() error { return f.Truncate(-1) }, errInvalid, "truncate"},
			{"Seek before the start", func() error { return second(f.Seek(-1, io.SeekStart)) }, errSeekBefore, "seek"},
			{"Seek from nowhere", func() error { return second(f.Seek(0, 99)) }, syscall.EINVAL, "seek"},
			{"WriteAt in append mode", func() error { return second(appending.WriteAt(buf, 0)) }, ErrAppendMode, "write"},
			{"WritevAt in append mode", func() error { return second(appending.WritevAt(bufs, 0)) }, fs.ErrInvalid, "writev"},
			{"Write to a file open for reading", func() error { return second(readOnly.Write(buf)) }, errNotAllowed, "write"},
			{"Read from a file open for writing", func() error { return second(appending.Read(buf)) }, errNotAllowed, "read"},
			{"Read a directory", func() error { return second(dir.Read(buf)) }, syscall.EISDIR, "read"},
			{"ReadAt a directory", func() error { return second(dir.ReadAt(buf, 0)) }, syscall.EISDIR, "read"},
			{"Readv a directory", func() error { return second(dir.Readv(bufs)) }, syscall.EISDIR, "readv"},
			{"Write a directory", func() error { return second(dir.Write(buf)) }, errNotAllowed, "write"},
			{"ReadDir of a file", func() error { return second(f.ReadDir(1)) }, syscall.ENOTDIR, "readdir"},
			{"ReadAt a pipe", func() error { return second(r.ReadAt(buf, 0)) }, syscall.ESPIPE, "read"},
			{"WriteAt a pipe", func() error { return second(w.WriteAt(buf, 0)) }, syscall.ESPIPE, "write"},
			{"ReadvAt a pipe", func() error { return second(r.ReadvAt(bufs, 0)) }, syscall.ESPIPE, "readv"},
			{"WritevAt a pipe", func() error { return second(w.WritevAt(bufs, 0)) }, syscall.ESPIPE, "writev"},
			{"Seek a pipe", func() error { return second(r.Seek(0, io.SeekCurrent)) }, syscall.ESPIPE, "seek"},
			{"Truncate a pipe", func() error { return w.Truncate(0) }, errCutPipe, "truncate"},
			{"Sync a pipe", func() error { return w.Sync() }, errSyncPipe, "fsync"},
			{"Read with a context over", func() error { return second(f.WithContext(over).Read(buf)) }, context.Canceled, "read"},
			{"Read nothing with it", func() error { return second(f.WithContext(over).Read(nil)) }, context.Canceled, "read"},
			{"ReadAt with it", func() error { return second(f.WithContext(over).ReadAt(buf, 0)) }, context.Canceled, "read"},
			{"Write with it", func() error { return second(f.WithContext(over).Write(buf)) }, context.Canceled, "write"},
			{"Write nothing with it", func() error { return second(f.WithContext(over).Write(nil)) }, context.Canceled, "write"},
			{"Writev nothing with it", func() error { return second(f.WithContext(over).Writev(nil)) }, context.Canceled, "writev"},
			{"Seek with it", func() error { return second(f.WithContext(over).Seek(0, 0)) }, context.Canceled, "seek"},
			{"Sync with it", func() error { return f.WithContext(over).Sync() }, context.Canceled, "fsync"},
			{"Stat with it", func() error { return second(f.WithContext(over).Stat()) }, context.Canceled, "stat"},
			{"ReadDir with it", func() error { return second(dir.WithContext(over).ReadDir(1)) }, context.Canceled, "readdir"},
			{"ReadFrom with it", func() error { return second(f.WithContext(over).ReadFrom(&bytes.Buffer{})) }, context.Canceled, "write"},
			{"Open with it", func() error { return second(m.Open(over, f.Name())) }, context.Canceled, "open"},
			{"Open nothing", func() error { return second(m.Open(context.Background(), "")) }, fs.ErrNotExist, "open"},
			{"Open a name with a NUL", func() error { return second(m.Open(context.Background(), "a\x00b")) }, syscall.EINVAL, "open"},
			{"Open what is not there", func() error { return second(m.Open(context.Background(), f.Name()+"x")) }, fs.ErrNotExist, "open"},
			{"Create in a file", func() error { return second(m.Create(context.Background(), f.Name()+"/x")) }, errThroughFile, "open"},
			{"Create a directory", func() error { return second(m.Create(context.Background(), dir.Name())) }, syscall.EISDIR, "open"},
			{"Create anew what is there", func() error {
				return second(m.OpenFile(context.Background(), f.Name(), os.O_CREATE|os.O_EXCL, 0))
			}, fs.ErrExist, "open"},
			{"NewFile of no descriptor", func() error { return second(m.NewFile(^Handle(0), "none")) }, errBadHandle, "attach"},
			{"NewFile of one not open", func() error { return second(m.NewFile(1<<20, "none")) }, errBadHandle, "attach"},
			{"NewFile of a registered file", func() error { return second(m.NewFile(RegisteredFile(0), "none")) }, errBadHandle, "attach"},
			{"Read no file", func() error { return second(none.Read(buf)) }, fs.ErrInvalid, "read"},
			{"ReadAt no file", func() error { return second(none.ReadAt(buf, 0)) }, fs.ErrInvalid, "read"},
			{"Close no file", func() error { return none.Close() }, fs.ErrInvalid, "close"},
			{"Sync an empty one", func() error { return new(File).Sync() }, fs.ErrInvalid, "fsync"},
			{"Read a closed file", func() error { return second(closed.Read(buf)) }, os.ErrClosed, "read"},
			{"Read nothing from it", func() error { return second(closed.Read(nil)) }, os.ErrClosed, "read"},
			{"ReadAt it", func() error { return second(closed.ReadAt(buf, 0)) }, os.ErrClosed, "read"},
			{"Readv it", func() error { return second(closed.Readv(bufs)) }, os.ErrClosed, "readv"},
			{"ReadvAt it", func() error { return second(closed.ReadvAt(bufs, 0)) }, os.ErrClosed, "readv"},
			{"Write to it", func() error { return second(closed.Write(buf)) }, os.ErrClosed, "write"},
			{"WriteAt it", func() error { return second(closed.WriteAt(buf, 0)) }, os.ErrClosed, "write"},
			{"Writev to it", func() error { return second(closed.Writev(bufs)) }, os.ErrClosed, "writev"},
			{"WritevAt it", func() error { return second(closed.WritevAt(bufs, 0)) }, os.ErrClosed, "writev"},
			{"ReadFrom to it", func() error { return second(closed.ReadFrom(&bytes.Buffer{})) }, os.ErrClosed, "write"},
			{"WriteTo from it", func() error { return second(closed.WriteTo(io.Discard)) }, os.ErrClosed, "read"},
			{"Seek it", func() error { return second(closed.Seek(0, 0)) }, os.ErrClosed, "seek"},
			{"Stat it", func() error { return second(closed.Stat()) }, os.ErrClosed, "stat"},
			{"Sync it", func() error { return closed.Sync() }, os.ErrClosed, "fsync"},
			{"Datasync it", func() error { return closed.Datasync() }, os.ErrClosed, "fdatasync"},
			{"Truncate it", func() error { return closed.Truncate(0) }, os.ErrClosed, "truncate"},
			{"Allocate in it", func() error { return closed.Allocate(0, 1) }, os.ErrClosed, "fallocate"},
			{"ReadDir of it", func() error { return second(closed.ReadDir(0)) }, os.ErrClosed, "readdir"},
			{"SyscallConn of it", func() error { return second(closed.SyscallConn()) }, os.ErrClosed, "SyscallConn"},
			{"SetDeadline on it", func() error { return closed.SetReadDeadline(soon) }, os.ErrClosed, "set deadline"},
			{"Close it again", func() error { return closed.Close() }, os.ErrClosed, "close"},
			{"Close a view of it", func() error { return closed.WithContext(over).Close() }, os.ErrClosed, "close"},
		} {
			err := test.call()
			if err == nil && test.want == nil {
				continue
			}
			var op *OpError
			if !errors.Is(err, test.want) || !errors.As(err, &op) || op.Op != test.op {
				t.Errorf("%s: %v; want %v of %s", test.name, err, test.want, test.op)
			}
		}
		if fd := closed.Fd(); fd != ^uintptr(0) {
			t.Errorf("a closed file's Fd is %d", fd)
		}
		if got, _ := os.ReadFile(f.Name()); !bytes.Equal(got, content) {
			t.Errorf("the file is now %q", got)
		}
	})
}

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

// TestFile_EmptyBuffers: nothing is asked for, and nothing is done, not even where it would wait or be the end.
func TestFile_EmptyBuffers(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		f := openFile(t, m, named(t, nil), os.O_RDWR)
		r, w := filePipe(t, m)
		fillPipe(t, Handle(w.Fd()))
		for _, b := range [][]byte{nil, {}} {
			for name, call := range map[string]func() (int, error){
				"Read at the end":       func() (int, error) { return f.Read(b) },
				"ReadAt past the end":   func() (int, error) { return f.ReadAt(b, 99) },
				"Write":                 func() (int, error) { return f.Write(b) },
				"WriteAt":               func() (int, error) { return f.WriteAt(b, 99) },
				"Read from a pipe":      func() (int, error) { return r.Read(b) },
				"Write to a full pipe":  func() (int, error) { return w.Write(b) },
				"WriteString":           func() (int, error) { return w.WriteString("") },
				"Writev to a full pipe": func() (int, error) { return w.Writev([][]byte{b}) },
			} {
				if n, err := call(); n != 0 || err != nil {
					t.Errorf("%s: %d, %v", name, n, err)
				}
			}
		}
		if info, err := f.Stat(); err != nil || info.Size() != 0 {
			t.Error(info, err)
		}
	})
}

// fillPipe writes to a pipe, past the manager, until it is full.
func fillPipe(t testing.TB, w Handle) (n int) {
	t.Helper()
	for b := make([]byte, 4096); ; n += len(b) {
		switch k, err := tryWrite(w, b); {
		case err != nil:
			t.Fatal(err)
		case k == 0:
			return n
		case k < len(b):
			t.Fatalf("a write of %d bytes wrote %d", len(b), k)
		}
	}
}

func TestFile_TruncatedUnderTheReader(t *testing.T) {
	content := noise(100_000, 11)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for view, f := range views(t, openFile(t, m, named(t, content), os.O_RDWR)) {
			os.WriteFile(f.Name(), content, 0)
			f.Seek(0, io.SeekStart)
			buf := make([]byte, 60_000)
			if n, err := io.ReadFull(f, buf); n != len(buf) || err != nil {
				t.Errorf("%s: %d, %v", view, n, err)
			}
			if err := os.Truncate(f.Name(), 50_000); err != nil {
				t.Fatal(err)
			}
			if n, err := f.Read(buf); n != 0 || err != io.EOF {
				t.Errorf("%s, Read past the new end: %d, %v", view, n, err)
			}
			if n, err := f.ReadAt(buf, 20_000); n != 30_000 || err != io.EOF || !bytes.Equal(buf[:n], content[20_000:50_000]) {
				t.Errorf("%s, ReadAt over the new end: %d, %v", view, n, err)
			}
			if n, err := f.ReadAt(buf, 50_000); n != 0 || err != io.EOF {
				t.Errorf("%s, ReadAt at the new end: %d, %v", view, n, err)
			}
		}
	})
}

// TestFile_Positions: Files of one open file share its position, with os.Files too; each File serialises its own calls.
func TestFile_Positions(t *testing.T) {
	content := noise(64*1024, 12)
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		o, err := os.OpenFile(named(t, content), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		f := adopted(t, m, dup(t, Handle(o.Fd())), "duplicate")
		buf := make([]byte, 1000)
		for i, r := range []io.Reader{f, o, views(t, f)["with a context"], o, f} {
			if _, err := io.ReadFull(r, buf); err != nil || !bytes.Equal(buf, content[i*1000:][:1000]) {
				t.Errorf("read %d: %v, or the wrong bytes", i, err)
			}
		}
		if at, err := f.Seek(0, io.SeekCurrent); at != 5000 || err != nil {
			t.Errorf("position %d, %v", at, err)
		}
		if !m.shared {
			return
		}
		// Many goroutines read pieces of 1000 bytes: each piece once, none torn.
		f.Seek(0, io.SeekStart)
		whole, results := len(content)/1000, make(chan []byte)
		for i := range 8 {
			view := f
			if i%2 == 0 {
				view = views(t, f)["with a context"]
			}
			go func() {
				for {
					piece := make([]byte, 1000)
					n, err := view.Read(piece)
					if err == io.EOF {
						results <- nil
						return
					}
					if err != nil || n != len(piece) && n != len(content)%1000 {
						t.Errorf("%d, %v", n, err)
					}
					results <- piece[:n]
				}
			}()
		}
		seen := map[int]bool{}
		for left := 8; left > 0; {
			piece := <-results
			if piece == nil {
				left--
				continue
			}
			at := bytes.Index(content, piece)
			if at%1000 != 0 || seen[at] {
				t.Errorf("piece at %d, seen before: %t", at, seen[at])
			}
			seen[at] = true
		}
		if len(seen) != whole+1 {
			t.Errorf("%d pieces of %d", len(seen), whole+1)
		}
	})
}

func TestFile_Stat(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		name := named(t, noise(1234, 13))
		f := openFile(t, m, name, os.O_RDWR)
		for view, f := range views(t, f) {
			got, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name() != want.Name() || got.Size() != want.Size() || got.Mode() != want.Mode() || got.IsDir() != want.IsDir() ||
				!got.ModTime().Equal(want.ModTime()) {
				t.Errorf("%s: %v, want %v", view, fs.FormatFileInfo(got), fs.FormatFileInfo(want))
			}
			if sys, ok := got.Sys().(*FileStat); !ok || sys.LinkCount != 1 || sys.Inode == 0 {
				t.Errorf("%s: Sys is %+v", view, got.Sys())
			}
		}
		if f.Name() != name {
			t.Errorf("the name is %q", f.Name())
		}
		if err := f.Allocate(0, 5000); err != nil {
			t.Error(err)
		}
		if err := f.Datasync(); err != nil {
			t.Error(err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != 5000 {
			t.Errorf("after Allocate: %v, %v", info, err)
		}
	})
}

// managerFS is the file system below a folder, opened with a manager.
type managerFS struct {
	m    *Manager
	root string
}

func (s managerFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	local, err := filepath.Localize(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := s.m.Open(context.Background(), filepath.Join(s.root, local))
	if err != nil {
		return nil, err
	}
	return f, nil
}

func TestFile_IsAnFSFile(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(root, fstest.MapFS{"a": {Data: []byte("1")}, "d/b": {Data: noise(scaled(9999), 14)}, "d/e/empty": {}}); err != nil {
		t.Fatal(err)
	}
	forEach(t, func(t *testing.T, c Config) {
		if err := fstest.TestFS(managerFS{open(t, c), root}, "a", "d/b", "d/e/empty"); err != nil {
			t.Error(err)
		}
	})
}

// TestFile_ReadDirPosition: a rewound directory is read from its start.
func TestFile_ReadDirPosition(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		os.WriteFile(filepath.Join(dir, name), nil, 0o666)
	}
	forEach(t, func(t *testing.T, c Config) {
		f := openFile(t, open(t, c), dir, os.O_RDONLY)
		for range 2 {
			if _, err := f.ReadDir(1); err != nil { // it reads ahead
				t.Error(err)
			}
			f.Seek(0, io.SeekStart)
			all, err := f.ReadDir(-1)
			if err != nil || len(all) != 3 {
				t.Errorf("%d entries, %v", len(all), err)
			}
			if _, err := f.ReadDir(1); err != io.EOF {
				t.Errorf("after the last: %v", err)
			}
			if at, err := f.Seek(0, io.SeekStart); at != 0 || err != nil {
				t.Errorf("rewind: %d, %v", at, err)
			}
		}
	})
}

// TestFile_ManagerClosed: a file can outlive its manager, which is good for nothing but to be closed.
func TestFile_ManagerClosed(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		name := named(t, noise(1000, 15))
		f, warm := openFile(t, m, name, os.O_RDWR), openFile(t, m, name, os.O_RDONLY)
		buf := make([]byte, 10)
		for range 2 * warmFrom {
			if _, err := warm.ReadAt(buf, notSample); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"Read": second(f.Read(buf)), "ReadAt": second(f.ReadAt(buf, 0)), "warm ReadAt": second(warm.ReadAt(buf, notSample)),
			"Write": second(f.Write(buf)), "WriteAt": second(f.WriteAt(buf, 0)), "Readv": second(f.Readv([][]byte{buf})),
			"Seek": second(f.Seek(0, 0)), "Sync": f.Sync(), "Stat": second(f.Stat()), "Read nothing": second(f.Read(nil)),
			"Open": second(m.Open(context.Background(), name)), "NewFile": second(m.NewFile(0, "stdin")),
		} {
			if !errors.Is(err, ErrManagerClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		fd := f.Fd()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if isOpen(fd) {
			t.Error("the descriptor is still open")
		}
	})
}

// TestFile_Lost: the descriptor of a file that nobody can reach is closed; those of its views keep it open.
func TestFile_Lost(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		fd, view := func() (uintptr, *File) {
			f, err := m.Open(t.Context(), named(t, []byte("x")))
			if err != nil {
				t.Fatal(err)
			}
			return f.Fd(), f.WithContext(t.Context())
		}()
		for range 5 {
			runtime.GC()
		}
		if n, err := view.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("the view of a file that is reachable by it alone: %d, %v", n, err)
		}
		runtime.KeepAlive(view)
		view = nil
		if err := patience.Until(func() error {
			runtime.GC()
			if isOpen(fd) {
				return errors.New("a lost file's descriptor is still open")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestFile_BigBuffers: what is longer than one operation moves is moved with several, or cut, as os.File does.
func TestFile_BigBuffers(t *testing.T) {
	if raceEnabled {
		t.Skip("it takes 1 GiB of memory and the race detector four times as much")
	}
	const size = MaxTransferBytes + 3*4096
	buf := untouched(t, size)
	name := named(t, nil)
	if err := os.Truncate(name, 2*size); err != nil { // all of it is a hole
		t.Fatal(err)
	}
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		null := openFile(t, m, os.DevNull, os.O_WRONLY)
		for view, w := range views(t, null) {
			if n, err := w.Write(buf); n != size || err != nil {
				t.Errorf("%s, Write: %d, %v", view, n, err)
			}
			if n, err := w.Writev([][]byte{buf[:size/2], buf[size/2:]}); n != size || err != nil {
				t.Errorf("%s, Writev: %d, %v", view, n, err)
			}
		}
		got := 0
		for _, b := range window(nil, [][]byte{buf[:size/2], buf}, 0) {
			got += len(b)
		}
		if got != maxVecBytes {
			t.Errorf("one operation gets %d bytes", got)
		}
		f := openFile(t, m, name, os.O_RDONLY)
		if n, err := f.Read(buf); n != MaxTransferBytes || err != nil {
			t.Errorf("Read: %d, %v", n, err)
		}
		buf[size-1] = 1
		if n, err := f.ReadAt(buf, 1); n != size || err != nil || buf[size-1] != 0 {
			t.Errorf("ReadAt: %d, %v", n, err)
		}
	})
}
