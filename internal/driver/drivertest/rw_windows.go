package drivertest

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// Transfers of files and pipes. Windows: facts 8, 9, 14 and 15.
var rwTests = []test{
	{name: "ReadAndWrite", run: readWrite},
	{name: "Vectored", run: vectored},
	{name: "VectoredOfManySizes", run: vectoredSizes},
	{name: "EmptyBuffers", run: emptyBuffers},
	{name: "EndOfFileIsZero", run: endOfFile},
	{name: "PositionIsUsedAndMoved", run: position},
	{name: "AppendIgnoresTheOffset", run: appendOnly},
	{name: "MessagesLongerThanTheBuffer", run: messages},
	{name: "Law8BadReadsAndWrites", run: badReadWrite},
	{name: "Hazard08FailuresAtOnceAndTheirPackets", run: failuresAtOnce},
	{name: "RegisteredBuffers", run: registeredBuffers},
	{name: "RegisteredFiles", run: registeredFiles},
	{name: "Law2RegisteredFilesInFlight", run: registeredInFlight},
	{name: "Law2RegisteredFilesStaged", run: registeredStaged},
	{name: "Unsupported", run: unsupported},
}

func readWrite(f *fixture) {
	path := f.tempFile("0123456789")
	file := f.openFile(path, os.O_RDWR)
	f.must(write(file, "abc", 4), 3)
	f.must(write(file, "end", 12), 3)
	for _, c := range []struct {
		off  int64
		want string
	}{{0, "0123abc789\x00\x00end"}, {4, "abc789\x00\x00end"}, {14, "d"}, {15, ""}, {1 << 33, ""}} {
		r := read(file, 64, c.off)
		if f.must(r, len(c.want)); got(r) != c.want {
			f.Errorf("at %d: %q, want %q", c.off, got(r), c.want)
		}
	}
}

// vec is a request with a buffer of each length; those of a write hold the letters from a on.
func vec(k driver.Kind, h driver.Handle, off int64, lengths ...int) *driver.Request {
	r := &driver.Request{Kind: k, FD: h, Off: off, Ext: &driver.Ext{Vec: [][]byte{}}}
	for i, n := range lengths {
		r.Ext.Vec = append(r.Ext.Vec, bytes.Repeat([]byte{byte('a' + i)}, n))
	}
	return r
}

func vectored(f *fixture) {
	path := f.tempFile("0123456789")
	file := f.openFile(path, os.O_RDWR)
	for _, c := range []struct {
		off     int64
		lengths []int
		want    string
	}{{0, []int{3, 4}, "0123456"}, {5, []int{1, 0, 2}, "567"}, {4, []int{4, 4, 4}, "456789"}, {10, []int{4, 4}, ""},
		{2, []int{0, 3, 0}, "234"}, {0, []int{0, 0}, ""}, {0, nil, ""}} {
		r := vec(driver.Readv, file, c.off, c.lengths...)
		f.must(r, len(c.want))
		if s := string(bytes.Join(r.Ext.Vec, nil)[:r.N]); s != c.want {
			f.Errorf("%v at %d: %q, want %q", c.lengths, c.off, s, c.want)
		}
	}
	f.must(vec(driver.Writev, file, 2, 1, 0, 2, 3), 6)
	if s := f.content(path); s != "01accddd89" {
		f.Errorf("%q", s)
	}
	r, w := f.pipe()
	f.must(vec(driver.Writev, w, driver.CurrentOffset, 2, 3), 5)
	q := vec(driver.Readv, r, driver.CurrentOffset, 4, 4)
	f.must(q, 5)
	if s := string(bytes.Join(q.Ext.Vec, nil)[:q.N]); s != "aabbb" {
		f.Errorf("%q", s)
	}
}

// pages is a buffer of n bytes at the start of a page.
func pages(n int) []byte {
	page := os.Getpagesize()
	b := make([]byte, n+page)
	return b[(page-int(uintptr(unsafe.Pointer(&b[0]))%uintptr(page)))%page:][:n:n]
}

// vectoredSizes: cached, unbuffered and synchronous files give the same, whatever the system has for them.
func vectoredSizes(f *fixture) {
	page := os.Getpagesize()
	content := make([]byte, 7*page+100)
	for i := range content {
		content[i] = byte(i/251 + i)
	}
	path := f.tempFile(string(content))
	thousand := slices.Repeat([]int{page}, 1024)
	for name, h := range map[string]driver.Handle{
		"cached": f.openFile(path, os.O_RDWR), "unbuffered": f.openFile(path, os.O_RDWR|windows.FILE_FLAG_NO_BUFFERING),
		"synchronous": f.synchronousFile(path),
	} {
		for _, c := range []struct {
			lengths []int
			off     int
			shift   int // buffers start that far into their page
		}{
			{[]int{page, page}, 0, 0}, {[]int{page, 0, 2 * page}, page, 0}, {[]int{0, page, 0}, 0, 0},
			{[]int{512, page - 512}, 0, 0}, {[]int{page, page}, 0, 512},
			{[]int{4 * page, 4 * page}, 2 * page, 0}, // the end is in the middle
			{[]int{page, page, page}, 6 * page, 0},   // and in the first but one
			{[]int{page, page}, 7 * page, 0},         // and in the first
			{[]int{page, page}, 9 * page, 0}, {nil, 0, 0}, {[]int{0, 0}, 0, 0},
			{thousand, page, 0}, {thousand, 0, 512},
		} {
			r := &driver.Request{Kind: driver.Readv, FD: h, Off: int64(c.off), Ext: &driver.Ext{Vec: [][]byte{}}}
			for _, n := range c.lengths {
				r.Ext.Vec = append(r.Ext.Vec, pages(c.shift + n)[c.shift:])
			}
			want := content[min(c.off, len(content)):]
			want = want[:min(r.Wanted(), len(want))]
			for range 3 {
				f.must(r, len(want))
				if got := bytes.Join(r.Ext.Vec, nil)[:r.N]; !bytes.Equal(got, want) {
					f.Fatalf("%s: %v at %d differ", name, c.lengths, c.off)
				}
				for _, v := range r.Ext.Vec {
					clear(v)
				}
			}
			r.Kind = driver.Writev
			if c.off+r.Wanted() > 7*page {
				continue
			}
			for i, v := range r.Ext.Vec {
				for j := range v {
					v[j] = byte(i*7 + j*3)
				}
			}
			f.must(r, r.Wanted())
			copy(content[c.off:], bytes.Join(r.Ext.Vec, nil))
			if f.content(path) != string(content) {
				f.Fatalf("%s: writing %v at %d went wrong", name, c.lengths, c.off)
			}
		}
	}
	r, w := f.pipe()
	f.must(vec(driver.Writev, w, driver.CurrentOffset, slices.Repeat([]int{3, 0}, 512)...), 1536)
	q := vec(driver.Readv, r, driver.CurrentOffset, slices.Repeat([]int{0, 5}, 512)...)
	if f.must(q, 1536); string(bytes.Join(q.Ext.Vec, nil)[:6]) != "aaaccc" {
		f.Errorf("%q", q.Ext.Vec[:4])
	}
}

func emptyBuffers(f *fixture) {
	r, w := f.pipe()
	file := f.openFile(f.tempFile("content"), os.O_RDWR)
	f.must(read(r, 0, driver.CurrentOffset), 0)
	f.must(read(file, 0, 0), 0)
	f.must(read(file, 0, driver.CurrentOffset), 0)
	f.must(write(file, "", 3), 0)
	f.must(write(w, "", driver.CurrentOffset), 0)
}

func endOfFile(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	for _, off := range []int64{7, 8, 1 << 40} {
		f.must(read(file, 16, off), 0)
	}
	r, w := f.pipe()
	f.put(w, "last")
	waiting := read(r, 16, driver.CurrentOffset)
	f.must(waiting, 4)
	f.start(again2(waiting))
	f.stay(waiting)
	f.closeHandle(w)
	if f.await(waiting); waiting.N != 0 || waiting.Err != nil {
		f.Errorf("the other end is gone: %d, %v", waiting.N, waiting.Err)
	}
	f.must(read(r, 16, driver.CurrentOffset), 0)

	r, w = f.pipe()
	f.closeHandle(r)
	if n, err := f.do(write(w, "nobody reads it", driver.CurrentOffset)); n != 0 || err == nil {
		f.Errorf("write to a pipe without a reader: %d, %v", n, err)
	}
}

func again2(r *driver.Request) *driver.Request { again(r); return r }

// position: the file's own position is what CurrentOffset means, and nothing else moves it.
func position(f *fixture) {
	path := f.tempFile("0123456789")
	for _, h := range []driver.Handle{f.openFile(path, os.O_RDWR), f.synchronousFile(path)} {
		expect := func(want int64) {
			f.Helper()
			if at, err := win32.Position(windows.Handle(h)); at != want || err != nil {
				f.Errorf("position %d, %v; want %d", at, err, want)
			}
		}
		q := read(h, 4, driver.CurrentOffset)
		for _, want := range []string{"0123", "4567", "89", ""} {
			if f.must(q, len(want)); got(q) != want {
				f.Errorf("%q, want %q", got(q), want)
			}
		}
		expect(10)
		f.must(read(h, 4, 2), 4)
		f.must(write(h, "2", 2), 1)
		expect(10)
		if err := win32.SetPosition(windows.Handle(h), 3); err != nil {
			f.Fatal(err)
		}
		f.must(write(h, "34", driver.CurrentOffset), 2)
		f.must(vec(driver.Readv, h, driver.CurrentOffset, 1, 2), 3)
		expect(8)
	}
	if s := f.content(path); s != "0123456789" {
		f.Errorf("%q", s)
	}
}

func appendOnly(f *fixture) {
	path := f.tempFile("begin")
	file := f.openFile(path, os.O_WRONLY|os.O_APPEND)
	f.must(write(file, "-1", 0), 2)
	f.must(write(file, "-2", driver.CurrentOffset), 2)
	f.must(write(file, "-3", 1), 2)
	if s := f.content(path); s != "begin-1-2-3" {
		f.Errorf("%q", s)
	}
}

// messages: what doesn't fit stays for the next read, whether the first was waiting or not.
func messages(f *fixture) {
	for _, early := range []bool{false, true} {
		r, w := f.messagePipe()
		for range 20 {
			q := read(r, 4, driver.CurrentOffset)
			if early {
				f.start(q)
				f.stay(q)
			}
			f.put(w, "too long")
			if !early {
				f.start(q)
			}
			if f.await(q); got(q) != "too " || q.Err != windows.ERROR_MORE_DATA {
				f.Fatalf("%q, %v", got(q), q.Err)
			}
			if f.must(again2(q), 4); got(q) != "long" {
				f.Fatalf("%q", got(q))
			}
		}
	}
}

func badReadWrite(f *fixture) {
	r, w := f.pipe()
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	f.fails(read(badHandle, 4, 0), windows.ERROR_INVALID_HANDLE)
	f.fails(write(badHandle, "x", 0), windows.ERROR_INVALID_HANDLE)
	f.fails(read(driver.RegisteredHandle(3), 4, 0), windows.ERROR_INVALID_HANDLE)
	f.fails(write(file, "x", 0), windows.ERROR_ACCESS_DENIED)
	f.fails(read(w, 4, driver.CurrentOffset), windows.ERROR_ACCESS_DENIED)
	f.fails(read(r, 4, 0), windows.ERROR_SEEK_ON_DEVICE)
	f.fails(read(file, 4, -7), windows.ERROR_INVALID_PARAMETER)
}

// failuresAtOnce: some of them post a packet all the same (Wine), which must not be taken for that of whoever uses the block next.
func failuresAtOnce(f *fixture) {
	r, w := f.pipe()
	file := f.openFile(f.tempFile(strings.Repeat("x", 100)), os.O_RDWR)
	null := f.openFile("NUL", os.O_RDWR)
	for i := range 300 {
		f.start(read(file, 4, 1<<63-1)) // no such offset
		f.start(read(null, 4, driver.CurrentOffset))
		waits := read(r, 4, driver.CurrentOffset)
		f.start(waits)
		if i%3 == 0 {
			f.drainTo(1)
		}
		f.stay(waits)
		f.put(w, "data")
		if f.await(waits); got(waits) != "data" || waits.Err != nil {
			f.Fatalf("%q, %v", got(waits), waits.Err)
		}
	}
	f.drain()
}

// drainTo waits until no more than n are in flight.
func (f *fixture) drainTo(n int) {
	f.Helper()
	for f.inFlight() > n {
		f.collect(-1)
	}
}

func registeredBuffers(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	bufs := [][]byte{make([]byte, 64), make([]byte, 64)}
	if err := f.d.RegisterBuffers(bufs); err != nil {
		f.Fatal(err)
	}
	q := &driver.Request{Kind: driver.Read, Flags: driver.FixedBuffer, FD: file, Buf: bufs[1][10:20], BufferIndex: 1}
	f.must(q, 7)
	if s := string(bufs[1][10:17]); s != "content" {
		f.Errorf("%q", s)
	}
	q.BufferIndex = 0
	f.fails(q, windows.ERROR_NOACCESS)
	q.BufferIndex = 2
	f.fails(q, windows.ERROR_NOACCESS)
}

func registeredFiles(f *fixture) {
	path := f.tempFile("content")
	file := f.openFile(path, os.O_RDWR)
	r, w := f.pipe()
	if err := f.d.RegisterFiles([]driver.Handle{file, ^driver.Handle(0), r}); err != nil {
		f.Fatal(err)
	}
	f.closeHandle(file)
	f.must(read(driver.RegisteredHandle(0), 16, 0), 7)
	f.fails(read(driver.RegisteredHandle(1), 16, 0), windows.ERROR_INVALID_HANDLE)
	q := read(driver.RegisteredHandle(2), 16, driver.CurrentOffset)
	f.start(q)
	f.stay(q)
	f.put(w, "data")
	if f.await(q); got(q) != "data" {
		f.Errorf("%q, %v", got(q), q.Err)
	}
	f.must(&driver.Request{Kind: driver.Close, FD: driver.RegisteredHandle(0)}, 0)
	f.fails(read(driver.RegisteredHandle(0), 16, 0), windows.ERROR_INVALID_HANDLE)
	if err := f.d.RegisterFiles([]driver.Handle{badHandle}); err != windows.ERROR_INVALID_HANDLE {
		f.Errorf("%v", err)
	}
}

// registeredInFlight: what is in flight goes on with the file that it began with, whatever becomes of the entry and of the original.
func registeredInFlight(f *fixture) {
	forget := []func(){
		func() {
			if err := f.d.RegisterFiles(nil); err != nil {
				f.Fatal(err)
			}
		},
		func() { f.must(&driver.Request{Kind: driver.Close, FD: driver.RegisteredHandle(0)}, 0) },
	}
	for i := range 8 {
		r, w := f.pipe()
		if err := f.d.RegisterFiles([]driver.Handle{r}); err != nil {
			f.Fatal(err)
		}
		q := read(driver.RegisteredHandle(0), 8, driver.CurrentOffset)
		f.start(q)
		f.closeHandle(r)
		f.stay(q)
		forget[i%2]()
		f.fails(read(driver.RegisteredHandle(0), 8, driver.CurrentOffset), windows.ERROR_INVALID_HANDLE)
		f.stay(q)
		if i < 4 {
			f.put(w, "data")
			if f.await(q); got(q) != "data" || q.Err != nil {
				f.Fatalf("%q, %v", got(q), q.Err)
			}
		} else {
			f.cancel(q)
			f.canceled(q)
		}
		if _, err := f.do(write(w, "x", driver.CurrentOffset)); err == nil {
			f.Fatal("the registered file is still open")
		}
	}
}

// registeredStaged: a request is for the file that is registered when it is submitted, though owned mode starts it later.
func registeredStaged(f *fixture) {
	register := func(hs ...driver.Handle) {
		if err := f.d.RegisterFiles(hs); err != nil {
			f.Fatal(err)
		}
	}
	one, other := f.openFile(f.tempFile("one"), os.O_RDWR), f.openFile(f.tempFile("other"), os.O_RDWR)
	first, second := driver.RegisteredHandle(0), driver.RegisteredHandle(1)
	for _, next := range [][]driver.Handle{{other}, {other, other}, nil} {
		register(one)
		q, empty := read(first, 8, 0), read(second, 8, 0)
		f.start(q)
		f.start(empty)
		register(next...)
		if f.await(q, empty); got(q) != "one" || q.Err != nil || empty.Err != windows.ERROR_INVALID_HANDLE {
			f.Errorf("%q, %v; the empty place: %d, %v", got(q), q.Err, empty.N, empty.Err)
		}
	}
	register(one)
	closing := &driver.Request{Kind: driver.Close, FD: first}
	f.start(closing)
	register(other)
	if f.await(closing); closing.Err != nil {
		f.Error(closing.Err)
	}
	q := read(first, 8, 0)
	if f.must(q, 5); got(q) != "other" {
		f.Errorf("%q", got(q))
	}
	register()
}

func unsupported(f *fixture) {
	r, w := f.pipe()
	f.fails(&driver.Request{Kind: driver.Splice, FD: r, Ext: &driver.Ext{FD2: w}, Len: 4}, driver.ErrUnsupported)
	f.fails(&driver.Request{Kind: driver.Raw, Ext: &driver.Ext{}}, driver.ErrUnsupported)
}
