//go:build unix

package drivertest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

var rwTests = []test{
	{name: "ReadAndWrite", run: readWrite},
	{name: "ReadOffsets", run: readOffsets},
	{name: "WriteOffsets", run: writeOffsets},
	{name: "Readv", run: readv},
	{name: "Writev", run: writev},
	{name: "EndOfFileIsZero", run: endOfFile},
	{name: "EmptyBuffers", run: emptyBuffers},
	{name: "ShortWrites", run: shortWrites},
	{name: "LargeTransfers", run: largeTransfers},
	{name: "Devices", run: devices},
	{name: "Law8BadReadsAndWrites", run: badReadWrite},
	{name: "BothDirectionsOfOneHandle", run: bothDirections},
	{name: "RegisteredBuffers", run: registeredBuffers},
	{name: "RegisteredBuffersAreKept", run: registeredBuffersKept},
	{name: "RegisteredFiles", run: registeredFiles},
	{name: "RegisteredFilesReplaced", run: registeredReplaced},
	{name: "Law8BadRegistrations", run: badRegistrations},
}

func readv(f *fixture) {
	file := f.openFile(f.tempFile("0123456789"), unix.O_RDONLY)
	for _, c := range []struct {
		lengths []int
		off     int64
		want    string
	}{
		{[]int{3, 4}, 0, "0123456"},
		{[]int{1, 0, 2}, 5, "567"},
		{[]int{4, 4, 4}, 4, "456789"}, // short
		{[]int{4, 4}, 10, ""},
		{[]int{0, 0}, 0, ""},
		{nil, 0, ""},
		{ones(10), 0, "0123456789"},
		{ones(1024), 0, "0123456789"},
	} {
		r := vectored(driver.Readv, file, c.off, c.lengths)
		f.must(r, len(c.want))
		if s := flat(r.Ext.Vec)[:r.N]; s != c.want {
			f.Errorf("%v at %d: %q, want %q", c.lengths, c.off, s, c.want)
		}
	}
	f.fails(vectored(driver.Readv, file, 0, ones(1025)), unix.EINVAL)
}

func writev(f *fixture) {
	path := f.tempFile("")
	file := f.openFile(path, unix.O_RDWR)
	r := &driver.Request{Kind: driver.Writev, FD: file,
		Ext: &driver.Ext{Vec: [][]byte{[]byte("one"), nil, []byte("two"), []byte("three")}}}
	f.must(r, 11)
	r.Off = driver.CurrentOffset
	f.must(r, 11)
	r.Off = 14
	f.must(r, 11)
	if s := f.content(path); s != "onetwothree\x00\x00\x00onetwothree" {
		f.Errorf("written %q", s)
	}
	f.fails(vectored(driver.Writev, file, 0, ones(1025)), unix.EINVAL)
}

func vectored(k driver.Kind, h driver.Handle, off int64, lengths []int) *driver.Request {
	vec := [][]byte{}
	for _, n := range lengths {
		vec = append(vec, make([]byte, n))
	}
	return &driver.Request{Kind: k, FD: h, Off: off, Ext: &driver.Ext{Vec: vec}}
}

func ones(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = 1
	}
	return all
}

func flat(vec [][]byte) string {
	var all strings.Builder
	for _, b := range vec {
		all.Write(b)
	}
	return all.String()
}

// flagSets are the ways to submit a request: the result is the same.
var flagSets = []driver.Flags{0, driver.More, driver.Regular, driver.Inline, driver.Inline | driver.Regular}

func readWrite(f *fixture) {
	for _, flags := range flagSets {
		path := f.tempFile("")
		file := f.openFile(path, unix.O_RDWR)
		for i := range 10 {
			w := write(file, fmt.Sprint(i), int64(i))
			w.Flags = flags
			f.must(w, 1)
		}
		r := read(file, 5, 3)
		r.Flags = flags
		if f.must(r, 5); got(r) != "34567" || f.content(path) != "0123456789" {
			f.Errorf("flags %d: %q of %q", flags, got(r), f.content(path))
		}
	}
}

// readOffsets: a positional read leaves the handle's position alone, a streaming one moves it.
func readOffsets(f *fixture) {
	file := f.openFile(f.tempFile("0123456789"), unix.O_RDONLY)
	for _, c := range []struct {
		off  int64
		want string
	}{
		{driver.CurrentOffset, "0123"}, {2, "2345"}, {driver.CurrentOffset, "4567"}, {0, "0123"}, {8, "89"},
		{driver.CurrentOffset, "89"}, {driver.CurrentOffset, ""}, {9, "9"}, {10, ""}, {1 << 40, ""},
	} {
		r := read(file, 4, c.off)
		if f.must(r, len(c.want)); got(r) != c.want {
			f.Errorf("at %d: %q, want %q", c.off, got(r), c.want)
		}
	}
}

func writeOffsets(f *fixture) {
	path := f.tempFile("")
	file := f.openFile(path, unix.O_RDWR)
	for _, c := range []struct {
		off           int64
		content, want string
	}{
		{driver.CurrentOffset, "ab", "ab"}, {1, "xyz", "axyz"}, {driver.CurrentOffset, "cd", "axcd"},
		{6, "end", "axcd\x00\x00end"}, {driver.CurrentOffset, "", "axcd\x00\x00end"}, {driver.CurrentOffset, "e", "axcde\x00end"},
	} {
		if f.must(write(file, c.content, c.off), len(c.content)); f.content(path) != c.want {
			f.Fatalf("%q at %d: %q, want %q", c.content, c.off, f.content(path), c.want)
		}
	}
}

// endOfFile is N == 0 without an error on everything that has an end.
func endOfFile(f *fixture) {
	empty := f.openFile(f.tempFile(""), unix.O_RDONLY)
	f.must(read(empty, 8, 0), 0)
	f.must(read(empty, 8, driver.CurrentOffset), 0)
	f.must(vectored(driver.Readv, empty, 0, []int{4, 4}), 0)
	f.must(read(f.openFile(os.DevNull, unix.O_RDONLY), 8, driver.CurrentOffset), 0)

	r, w := f.pipe()
	q := read(r, 8, driver.CurrentOffset)
	f.start(q)
	f.stay(q)
	f.closeHandle(w) // under a read that waits
	if f.await(q); q.N != 0 || q.Err != nil {
		f.Errorf("pipe: %d, %v", q.N, q.Err)
	}
	f.must(read(r, 8, driver.CurrentOffset), 0)

	a, b := f.socketPair()
	q = read(a, 8, driver.CurrentOffset)
	f.start(q)
	f.put(b, "last")
	f.await(q)
	f.closeHandle(b)
	f.must(read(a, 8, driver.CurrentOffset), 0)
}

func (f *fixture) socketPair() (a, b driver.Handle) {
	f.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		f.Fatal(err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return f.keep(driver.Handle(fds[0])), f.keep(driver.Handle(fds[1]))
}

// emptyBuffers complete at once, also where there is nothing to read.
func emptyBuffers(f *fixture) {
	file := f.openFile(f.tempFile("content"), unix.O_RDWR)
	r, w := f.pipe()
	for _, b := range [][]byte{nil, {}} {
		for _, k := range []driver.Kind{driver.Read, driver.Write} {
			f.must(&driver.Request{Kind: k, FD: file, Buf: b}, 0)
			f.must(&driver.Request{Kind: k, FD: file, Buf: b, Off: driver.CurrentOffset}, 0)
		}
		f.must(&driver.Request{Kind: driver.Read, FD: r, Buf: b, Off: driver.CurrentOffset}, 0)
		f.must(&driver.Request{Kind: driver.Write, FD: w, Buf: b, Off: driver.CurrentOffset}, 0)
	}
	f.must(vectored(driver.Readv, r, driver.CurrentOffset, []int{0, 0}), 0)
	f.fails(&driver.Request{Kind: driver.Read, FD: badHandle}, unix.EBADF)
}

// shortWrites: what a pipe takes at a time is the system's choice, and N tells.
func shortWrites(f *fixture) {
	r, w := f.pipe()
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(i >> 8)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for all := 0; all < len(content); {
			s, err := take(r, 1000)
			if err != nil || s != string(content[all:all+len(s)]) {
				f.Errorf("at %d: %d bytes, %v", all, len(s), err)
				break
			}
			all += len(s)
		}
	})
	for all, k := 0, 0; all < len(content); k++ {
		q := &driver.Request{Kind: driver.Write, FD: w, Buf: content[all:], Off: driver.CurrentOffset}
		if k%2 == 1 {
			q = &driver.Request{Kind: driver.Writev, FD: w, Off: driver.CurrentOffset,
				Ext: &driver.Ext{Vec: [][]byte{content[all : all+1], content[all+1:]}}}
		}
		if n, err := f.do(q); n == 0 || err != nil {
			f.Fatalf("%d, %v", n, err)
		}
		all += q.N
	}
	wg.Wait()
}

func largeTransfers(f *fixture) {
	const size = 8 << 20
	path := f.tempFile("")
	file := f.openFile(path, unix.O_RDWR)
	pattern := strings.Repeat("0123456789abcdef", size/16)
	f.must(write(file, pattern, 0), size)
	r := read(file, size+5, 0)
	if f.must(r, size); got(r) != pattern {
		f.Error("read something else than what was written")
	}
	v := vectored(driver.Readv, file, 16, []int{size / 2, size / 4, size / 4})
	if f.must(v, size-16); flat(v.Ext.Vec)[:v.N] != pattern[16:] {
		f.Error("readv read something else than what was written")
	}
}

func devices(f *fixture) {
	zero := f.openFile("/dev/zero", unix.O_RDONLY)
	r := read(zero, 1000, driver.CurrentOffset)
	r.Buf[999] = 1
	for r.Buf[999] != 0 { // a signal makes it short
		if n, err := f.do(r); n == 0 || err != nil {
			f.Fatalf("/dev/zero: %d, %v", n, err)
		}
	}
	f.must(write(f.openFile(os.DevNull, unix.O_WRONLY), "gone", driver.CurrentOffset), 4)
}

func badReadWrite(f *fixture) {
	path := f.tempFile("content")
	reading, writing := f.openFile(path, unix.O_RDONLY), f.openFile(path, unix.O_WRONLY)
	dir := f.openFile(f.TempDir(), unix.O_RDONLY)
	closed := f.openFile(path, unix.O_RDWR)
	f.closeHandle(closed)
	for _, h := range []driver.Handle{closed, badHandle, ^driver.Handle(0), driver.CurrentDir, driver.RegisteredHandle(0)} {
		f.fails(read(h, 4, 0), unix.EBADF)
		f.fails(read(h, 4, driver.CurrentOffset), unix.EBADF)
		f.fails(write(h, "x", 0), unix.EBADF)
		f.fails(write(h, "x", driver.CurrentOffset), unix.EBADF)
		f.fails(vectored(driver.Readv, h, 0, []int{4}), unix.EBADF)
		f.fails(vectored(driver.Writev, h, 0, []int{4}), unix.EBADF)
	}
	f.fails(read(writing, 4, 0), unix.EBADF)
	f.fails(write(reading, "x", 0), unix.EBADF)
	f.fails(read(dir, 4, driver.CurrentOffset), unix.EISDIR)
	f.fails(read(reading, 4, -2), unix.EINVAL)
	f.fails(write(writing, "x", -2), unix.EINVAL)
	if s := f.content(path); s != "content" {
		f.Errorf("a write that failed left %q", s)
	}
	r, w := f.pipe()
	f.fails(read(w, 1, driver.CurrentOffset), unix.EBADF)
	f.fails(write(r, "x", driver.CurrentOffset), unix.EBADF)
	f.closeHandle(r)
	f.fails(write(w, "x", driver.CurrentOffset), unix.EPIPE)
	f.fails(vectored(driver.Writev, w, driver.CurrentOffset, []int{1, 1}), unix.EPIPE)
}

// bothDirections: a read, a write and two polls wait on one socket, and each direction ends by its own, whichever is first.
func bothDirections(f *fixture) {
	for _, readsFirst := range []bool{true, false} {
		a, b := f.socketPair()
		r := read(a, 16, driver.CurrentOffset)
		in := &driver.Request{Kind: driver.Poll, FD: a, Arg: unix.POLLIN}
		f.start(r)
		f.start(in)
		f.stay(r, in)
		filled := fillSocket(f, a)
		w := write(a, "more", driver.CurrentOffset)
		out := &driver.Request{Kind: driver.Poll, FD: a, Arg: unix.POLLOUT}
		f.start(w)
		f.start(out)
		f.stay(r, in, w, out)
		if readsFirst {
			f.put(b, "data")
			f.await(in, r)
			f.stay(w, out)
		}
		empty(f, b, filled+len("more"), w, out)
		if !readsFirst {
			f.stay(r, in)
			f.put(b, "data")
			f.await(in, r)
		}
		if got(r) != "data" || in.Err != nil || in.N&unix.POLLIN == 0 {
			f.Errorf("read %q, %v; poll %#x, %v", got(r), r.Err, in.N, in.Err)
		}
		if w.N != 4 || w.Err != nil || out.Err != nil || out.N&unix.POLLOUT == 0 {
			f.Errorf("write %d, %v; poll %#x, %v", w.N, w.Err, out.N, out.Err)
		}
	}
}

// empty reads past the driver while it waits for rs, which write what is read last.
func empty(f *fixture, h driver.Handle, bytes int, rs ...*driver.Request) {
	f.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for left := bytes; left > 0; {
			s, err := take(h, left)
			if s == "" || err != nil {
				f.Errorf("the socket ended with %d bytes to come: %v", left, err)
				return
			}
			left -= len(s)
		}
	})
	f.await(rs...)
	wg.Wait()
}

// fillSocket writes past the driver until h takes no more, and returns how many bytes.
func fillSocket(f *fixture, h driver.Handle) (filled int) {
	f.Helper()
	for block := make([]byte, 4096); ; {
		n, err := unix.SendmsgN(int(h), block, nil, nil, unix.MSG_DONTWAIT)
		switch err {
		case nil:
			filled += n
		case unix.EINTR:
		case unix.EAGAIN:
			if len(block) == 1 {
				return filled
			}
			block = block[:1]
		default:
			f.Fatal(err)
		}
	}
}

// fillPipe writes past the driver until h takes no more, and returns how many bytes. A pipe that polls writable takes a page.
func fillPipe(f *fixture, h driver.Handle) (filled int) {
	f.Helper()
	for ready(h, unix.POLLOUT) {
		n, err := unix.Write(int(h), make([]byte, os.Getpagesize()))
		if err != nil && err != unix.EINTR {
			f.Fatal(err)
		}
		filled += max(n, 0)
	}
	return filled
}

// ready reports whether h is ready for events.
func ready(h driver.Handle, events int16) bool {
	for {
		fds := []unix.PollFd{{Fd: int32(h), Events: events}}
		if n, err := unix.Poll(fds, 0); err != unix.EINTR {
			return err == nil && n > 0 && fds[0].Revents&events != 0
		}
	}
}

func registeredBuffers(f *fixture) {
	file := f.openFile(f.tempFile("0123456789"), unix.O_RDWR)
	a, b := make([]byte, 4096), make([]byte, 8192)
	if err := f.d.RegisterBuffers([][]byte{a, b}); err != nil {
		f.Fatal(err)
	}
	fixed := func(k driver.Kind, index uint16, part []byte, off int64) *driver.Request {
		return &driver.Request{Kind: k, Flags: driver.FixedBuffer, BufferIndex: index, FD: file, Buf: part, Off: off}
	}
	f.must(fixed(driver.Read, 0, a[100:105], 0), 5)
	f.must(fixed(driver.Read, 1, b[8190:], 3), 2)
	f.must(fixed(driver.Write, 0, a[101:104], 10), 3)
	r := read(file, 16, 0)
	if f.must(r, 13); got(r) != "0123456789123" || string(b[8190:]) != "34" {
		f.Errorf("%q, %q", got(r), b[8190:])
	}
	c := make([]byte, 4096)
	if err := f.d.RegisterBuffers([][]byte{c}); err != nil { // in place of the others
		f.Fatal(err)
	}
	f.must(fixed(driver.Read, 0, c[:4], 1), 4)
	f.fails(fixed(driver.Read, 1, b[:4], 1), unix.EFAULT)
	if err := f.d.RegisterBuffers(nil); err != nil {
		f.Fatal(err)
	}
	f.fails(fixed(driver.Read, 0, c[:4], 1), unix.EFAULT)
	if string(c[:4]) != "1234" {
		f.Errorf("%q", c[:4])
	}
	if err := f.d.RegisterBuffers(nil); err != nil {
		f.Errorf("no buffers in place of none: %v", err)
	}
}

// registeredBuffersKept: the driver, which has told the system where they are, keeps registered buffers reachable.
func registeredBuffersKept(f *fixture) {
	register := func() *fate {
		b, end := make([]byte, 1<<16), new(fate)
		end.of(b)
		if err := f.d.RegisterBuffers([][]byte{b}); err != nil {
			f.Fatal(err)
		}
		return end
	}
	end := register()
	for range 5 {
		churn()
	}
	if end.collected.Load() {
		f.Error("a registered buffer was collected")
	}
	if err := f.d.RegisterBuffers(nil); err != nil {
		f.Fatal(err)
	}
	for i := 0; !end.collected.Load(); i++ {
		if i > 1000 {
			f.Fatal("the driver still refers to a buffer that is registered no more")
		}
		churn()
	}
}

func registeredFiles(f *fixture) {
	path := f.tempFile("0123456789")
	file := f.openFile(path, unix.O_RDWR)
	r, w := f.pipe()
	if err := f.d.RegisterFiles([]driver.Handle{file, r, w}); err != nil {
		f.Fatal(err)
	}
	for _, h := range []driver.Handle{file, r, w} { // the driver keeps them open
		f.closeHandle(h)
	}
	file, r, w = driver.RegisteredHandle(0), driver.RegisteredHandle(1), driver.RegisteredHandle(2)
	q := read(file, 4, 3)
	if f.must(q, 4); got(q) != "3456" {
		f.Errorf("read %q", got(q))
	}
	f.must(write(file, "abc", 8), 3)
	f.must(vectored(driver.Readv, file, 0, []int{2, 3}), 5)
	f.must(vectored(driver.Writev, file, 11, []int{1, 1}), 2)
	f.must(&driver.Request{Kind: driver.Fsync, FD: file}, 0)
	f.must(&driver.Request{Kind: driver.Fdatasync, FD: file}, 0)
	f.must(&driver.Request{Kind: driver.Truncate, FD: file, Len: 10}, 0)
	if s := f.content(path); s != "01234567ab" {
		f.Errorf("written %q", s)
	}
	q = read(r, 16, driver.CurrentOffset)
	poll := &driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}
	f.start(poll)
	f.start(q)
	f.stay(q, poll)
	f.cancel(q)
	f.canceled(q)
	f.must(write(w, "data", driver.CurrentOffset), 4)
	if f.await(poll); poll.Err != nil || poll.N&unix.POLLIN == 0 {
		f.Errorf("poll: %#x, %v", poll.N, poll.Err)
	}
	if f.must(q, 4); got(q) != "data" {
		f.Errorf("read %q", got(q))
	}
	f.fails(read(driver.RegisteredHandle(3), 4, 0), unix.EBADF)
}

// registeredReplaced: what is registered no more is closed, and its index is another's or nobody's.
func registeredReplaced(f *fixture) {
	r, w := f.pipe()
	one, two := f.openFile(f.tempFile("one"), unix.O_RDONLY), f.openFile(f.tempFile("two"), unix.O_RDONLY)
	for _, c := range []struct {
		files []driver.Handle
		want  string
	}{{[]driver.Handle{one, w}, "one"}, {[]driver.Handle{two}, "two"}} {
		if err := f.d.RegisterFiles(c.files); err != nil {
			f.Fatal(err)
		}
		q := read(driver.RegisteredHandle(0), 8, 0)
		if f.must(q, 3); got(q) != c.want {
			f.Errorf("read %q, want %q", got(q), c.want)
		}
	}
	f.closeHandle(w)
	f.must(read(r, 1, driver.CurrentOffset), 0) // nobody can write to it now
	f.fails(read(driver.RegisteredHandle(1), 1, 0), unix.EBADF)
	if err := f.d.RegisterFiles(nil); err != nil {
		f.Fatal(err)
	}
	f.fails(read(driver.RegisteredHandle(0), 1, 0), unix.EBADF)
	if err := f.d.RegisterFiles(nil); err != nil {
		f.Errorf("no files in place of none: %v", err)
	}

	// What is in flight goes on with the file that it began with.
	r, w = f.pipe()
	if err := f.d.RegisterFiles([]driver.Handle{r}); err != nil {
		f.Fatal(err)
	}
	q := read(driver.RegisteredHandle(0), 8, driver.CurrentOffset)
	poll := &driver.Request{Kind: driver.Poll, FD: driver.RegisteredHandle(0), Arg: unix.POLLIN}
	f.start(poll)
	f.start(q)
	f.stay(q, poll)
	if err := f.d.RegisterFiles([]driver.Handle{two}); err != nil {
		f.Fatal(err)
	}
	f.cancel(q)
	f.canceled(q)
	f.must(write(w, "data", driver.CurrentOffset), 4)
	if f.await(poll); poll.Err != nil || poll.N&unix.POLLIN == 0 {
		f.Errorf("poll: %#x, %v", poll.N, poll.Err)
	}
	if err := f.d.RegisterFiles(nil); err != nil {
		f.Fatal(err)
	}
}

func badRegistrations(f *fixture) {
	if err := f.d.RegisterFiles([]driver.Handle{badHandle}); err != syscall.EBADF {
		f.Errorf("register what is not open: %v", err)
	}
	if err := f.d.Attach(badHandle); err != syscall.EBADF {
		f.Errorf("attach what is not open: %v", err)
	}
	if err := f.d.Attach(^driver.Handle(0)); err != syscall.EBADF {
		f.Errorf("attach -1: %v", err)
	}
	file := f.openFile(f.tempFile(""), unix.O_RDONLY)
	if err := f.d.Detach(file); err != nil {
		f.Errorf("detach: %v", err)
	}
}
