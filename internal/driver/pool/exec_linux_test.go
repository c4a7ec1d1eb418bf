package pool

import (
	"bytes"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func TestExecDoesWhatTheDriverDoes(t *testing.T) {
	rig := newRig(t, driver.Options{})
	file, path := rig.file("0123456789")
	buf := make([]byte, 20)
	for _, c := range []struct {
		r   *driver.Request
		n   int
		err error
	}{
		{&driver.Request{Kind: driver.Nop}, 0, nil},
		{&driver.Request{Kind: driver.Read, FD: file, Buf: buf[:4], Off: 2}, 4, nil},
		{&driver.Request{Kind: driver.Read, FD: file, Buf: buf, Off: 10}, 0, nil},
		{&driver.Request{Kind: driver.Read, FD: file, Buf: buf, Off: driver.CurrentOffset}, 10, nil},
		{&driver.Request{Kind: driver.Read, FD: file, Buf: buf, Off: -2}, 0, unix.EINVAL},
		{&driver.Request{Kind: driver.Write, FD: file, Buf: []byte("ab"), Off: 8}, 2, nil},
		{&driver.Request{Kind: driver.Write, FD: file, Buf: []byte("cd"), Off: driver.CurrentOffset}, 2, nil},
		{&driver.Request{Kind: driver.Fsync, FD: file}, 0, nil},
		{&driver.Request{Kind: driver.Fdatasync, FD: file}, 0, nil},
		{&driver.Request{Kind: driver.Fdatasync, FD: ^driver.Handle(0)}, 0, unix.EBADF},
		{&driver.Request{Kind: driver.Read, FD: driver.RegisteredHandle(0), Buf: buf}, 0, unix.EBADF},
		{&driver.Request{Kind: driver.Poll, FD: file, Arg: unix.POLLIN}, unix.POLLIN, nil},
		{&driver.Request{Kind: driver.Truncate, FD: file, Len: 11}, 0, nil},
		{&driver.Request{Kind: driver.Raw, Ext: &driver.Ext{}}, 0, driver.ErrUnsupported},
	} {
		r := c.r
		r.N, r.Err = 77, unix.EIO // of its last use
		if Exec(r); r.N != c.n || r.Err != c.err {
			t.Errorf("%v: %d, %v, want %d, %v", r.Kind, r.N, r.Err, c.n, c.err)
		}
	}
	if got, _ := os.ReadFile(path); string(got) != "01234567abc" {
		t.Errorf("%q", got)
	}
}

func TestTryCached(t *testing.T) {
	rig := newRig(t, driver.Options{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<13)
	file, _ := rig.file(string(content))
	in, out := rig.pipe()
	rig.put(out, "data")
	end := int64(len(content))
	for _, c := range []struct {
		name string
		h    driver.Handle
		size int
		off  int64
		ok   bool
		n    int
	}{
		{"in the cache", file, 4096, 8, true, 4096},
		{"longest", file, 64 << 10, 0, true, 64 << 10},
		{"too long", file, 64<<10 + 1, 0, false, 0},
		{"at the end", file, 10, end, true, 0},
		{"beyond it", file, 10, end + 1, true, 0},
		{"across it", file, 10, end - 5, false, 0},
		{"up to it", file, 5, end - 5, true, 5},
		{"nothing", file, 0, 0, true, 0},
		{"at the file's own position", file, 10, driver.CurrentOffset, false, 0},
		{"negative", file, 10, -2, false, 0},
		{"a pipe", in, 4, 0, false, 0},
		{"write only", out, 4, 0, false, 0},
		{"closed", driver.Handle(1 << 20), 4, 0, false, 0},
	} {
		buf := make([]byte, c.size)
		if n, ok := TryCached(int(c.h), buf, c.off); n != c.n || ok != c.ok {
			t.Errorf("%s: %d, %v, want %d, %v", c.name, n, ok, c.n, c.ok)
		} else if n > 0 && !bytes.Equal(buf, content[c.off:c.off+int64(n)]) {
			t.Errorf("%s: not the file's content", c.name)
		}
	}
	if got := rig.get(in); got != "data" {
		t.Errorf("the pipe has %q", got)
	}
}

func TestCachedReadIsBackAtOnce(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, out := t.pipe()
		busy := t.start(blocking(in)) // no worker is free
		t.reaches(busy, running)
		file, _ := t.file("0123456789")
		for _, flags := range []driver.Flags{0, driver.Regular} {
			r := t.start(&driver.Request{Kind: driver.Read, Flags: flags, FD: file, Buf: make([]byte, 4), Off: 3})
			t.must(r, 4, nil)
			if string(r.Buf) != "3456" {
				t.Fatalf("%q", r.Buf)
			}
		}
		t.put(out, "x")
		t.must(busy, 1, nil)
	})
}

// With O_DIRECT the call that reads what is cached would wait for the disk in the submitter's stead.
func TestDirectReadIsAWorkers(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		_, path := t.file(string(make([]byte, 4096)))
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
		if err != nil { // a file system without O_DIRECT: the flag can be had on a pipe as well
			var p [2]int
			if err := unix.Pipe2(p[:], unix.O_DIRECT|unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			t.owned(p[1])
			fd = p[0]
		}
		if file := t.owned(fd); !isDirect(int(file)) {
			t.Fatal("not seen")
		}
		if file, _ := t.file(""); isDirect(int(file)) {
			t.Fatal("seen on a file without it")
		}
	})
}

func TestSplice(t *testing.T) {
	if table[driver.Splice].exec == nil {
		t.Fatal("no splice on Linux")
	}
	inBothModes(t, 1, func(t *rig) {
		splicing := func(from, to driver.Handle, n int64) *driver.Request {
			return &driver.Request{Kind: driver.Splice, FD: from, Off: driver.CurrentOffset, Len: n,
				Ext: &driver.Ext{FD2: to, Off2: driver.CurrentOffset}}
		}
		in, out := t.pipe()
		in2, out2 := t.pipe()
		file, path := t.file("")

		// Input: waits without a thread, can be cancelled, and takes nothing.
		victim, r := t.start(splicing(in, file, 10)), t.start(splicing(in, file, 10))
		t.reaches(victim, waiting)
		t.reaches(r, waiting)
		until(func() bool { return t.d.Threads() == t.d.pollerThreads() })
		t.cancel(victim)
		t.put(out, "abc")
		t.must(r, 3, nil)
		if got, _ := os.ReadFile(path); string(got) != "abc" {
			t.Fatalf("%q", got)
		}

		// Output: the same.
		fill := t.start(writing(out2, big))
		t.reaches(fill, waiting)
		t.d.Cancel(fill)
		n, _ := t.finish(fill)
		t.put(out, "xyz")
		victim, r = t.start(splicing(in, out2, 10)), t.start(splicing(in, out2, 10))
		t.reaches(victim, waiting)
		t.reaches(r, waiting)
		t.cancel(victim)
		for n > 0 {
			n -= len(t.get(in2))
		}
		t.must(r, 3, nil)
		if got := t.get(in2); got != "xyz" {
			t.Fatalf("%q", got)
		}

		// A socket as the output, in pieces, and as the input.
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		a, b := t.owned(p[0]), t.owned(p[1])
		t.put(out, big[:2*pipeBuf])
		t.must(t.start(splicing(in, a, 2*pipeBuf)), pipeBuf, nil)
		if got := t.get(b); got != big[:pipeBuf] {
			t.Fatal("not what was spliced")
		}
		fromSocket := t.start(splicing(a, out2, 10))
		t.reaches(fromSocket, waiting)
		t.put(b, "hello")
		t.must(fromSocket, 5, nil)

		nonblocking := splicing(b, out2, 10)
		nonblocking.Arg = unix.SPLICE_F_NONBLOCK
		t.must(t.start(nonblocking), 0, unix.EAGAIN)
	})
}

func TestRegisteredFilesAreOurOwn(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		_, path := t.file("0123456789")
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		in, out := t.pipe()
		if err := t.d.RegisterFiles([]driver.Handle{driver.Handle(fd), ^driver.Handle(0), in}); err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		file, empty, stream := driver.RegisteredHandle(0), driver.RegisteredHandle(1), driver.RegisteredHandle(2)
		t.must(t.start(&driver.Request{Kind: driver.Read, FD: file, Buf: make([]byte, 4), Off: 6}), 4, nil)
		t.must(t.start(reading(empty, 4)), 0, unix.EBADF)
		r := t.start(reading(stream, 4))
		t.reaches(r, waiting)
		t.put(out, "data")
		t.must(r, 4, nil)

		// What can't be registered leaves everything as it was.
		before := openDescriptors(t.T)
		if err := t.d.RegisterFiles([]driver.Handle{in, driver.Handle(1 << 20)}); err != unix.EBADF {
			t.Fatal(err)
		}
		if n := openDescriptors(t.T); n != before {
			t.Fatalf("%d descriptors, %d before", n, before)
		}
		t.must(t.start(&driver.Request{Kind: driver.Read, FD: file, Buf: make([]byte, 4), Off: 6}), 4, nil)

		t.must(t.start(&driver.Request{Kind: driver.Close, FD: file}), 0, nil)
		t.must(t.start(&driver.Request{Kind: driver.Close, FD: file}), 0, unix.EBADF)
		if err := t.d.RegisterFiles(nil); err != nil {
			t.Fatal(err)
		}
		t.must(t.start(reading(stream, 4)), 0, unix.EBADF)
	})
}

func TestFixedBufferMustLieInItsRegisteredOne(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		file, _ := t.file("0123456789")
		whole := make([]byte, 30)
		fixed := func(index uint16, buf []byte) *driver.Request {
			return t.start(&driver.Request{Kind: driver.Read, Flags: driver.FixedBuffer, BufferIndex: index, FD: file, Buf: buf})
		}
		t.must(fixed(0, whole[:5]), 0, unix.EFAULT)
		if err := t.d.RegisterBuffers([][]byte{whole[:10], whole[10:20]}); err != nil {
			t.Fatal(err)
		}
		t.must(fixed(0, whole[:10]), 10, nil)
		t.must(fixed(1, whole[12:20]), 8, nil)
		t.must(fixed(1, whole[:10]), 0, unix.EFAULT)
		t.must(fixed(0, whole[5:11]), 0, unix.EFAULT)
		t.must(fixed(2, whole[20:]), 0, unix.EFAULT)
		if err := t.d.RegisterBuffers(nil); err != nil {
			t.Fatal(err)
		}
		t.must(fixed(0, whole[:5]), 0, unix.EFAULT)
	})
}

func TestBirthTimeAndModeOfStat(t *testing.T) {
	rig := newRig(t, driver.Options{})
	_, path := rig.file("text")
	var s driver.FileStat
	rig.must(rig.start(&driver.Request{Kind: driver.Stat, FD: driver.CurrentDir, Ext: &driver.Ext{Path: path, Stat: &s}}), 0, nil)
	want, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.SizeBytes != 4 || s.Mode != want.Mode() || !s.ModTime.Equal(want.ModTime()) || s.BirthTime.After(time.Now()) {
		t.Fatalf("%+v", s)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	fallback := driver.StatOf(&st) // what a system without statx answers
	if fallback.BirthTime = s.BirthTime; fallback != s {
		t.Fatalf("%+v\n%+v", fallback, s)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	inBothModes(t, 2, func(t *rig) {
		file, _ := t.file("0123456789")
		in, _ := t.pipe()
		buf, batch := make([]byte, 4), make([]*driver.Request, 4)
		read := &driver.Request{Kind: driver.Read, Flags: driver.Regular, FD: file, Buf: buf}
		sync := &driver.Request{Kind: driver.Fdatasync, FD: in} // EINVAL, from a worker
		finish := func(r *driver.Request) { t.finishQuietly(batch, r) }
		for name, f := range map[string]func(){
			"Exec":          func() { Exec(read) },
			"TryCached":     func() { TryCached(int(file), buf, 0) },
			"cached read":   func() { finish(read) },
			"worker":        func() { finish(sync) },
			"wake and wait": func() { t.d.Wake(); t.d.Wait(batch, time.Hour) },
			"timeout":       func() { t.d.Wait(batch, time.Nanosecond) },
		} {
			if n := testing.AllocsPerRun(200, f); n >= 1 { // goroutines of the runtime allocate now and then
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}

// finishQuietly submits rs and waits for them, without any allocation of its own.
func (t *rig) finishQuietly(batch []*driver.Request, rs ...*driver.Request) {
	left := len(rs)
	for _, r := range rs {
		if t.d.Submit(r) {
			left--
		}
	}
	for left > 0 {
		n, _ := t.d.Wait(batch, -1)
		left -= n
	}
}
