//go:build unix

package drivertest

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// What waits: polls, FIFOs, non-blocking descriptors, and the handle that a foreign loop waits on.
var waitTests = []test{
	{name: "Poll", run: poll},
	{name: "PollWaits", run: pollWaits},
	{name: "PollHangUpAlone", run: pollHangUp},
	{name: "Law3CancelPoll", run: cancelPoll},
	{name: "Law3CancelPollRace", run: cancelPollRace},
	{name: "Law3CancelBeforeSubmitOfWaits", run: cancelBeforeWaits},
	{name: "Law8BadPolls", run: badPolls},
	{name: "NonblockingReadWaits", run: nonblockingRead},
	{name: "NonblockingWriteWaits", run: nonblockingWrite},
	{name: "RecycledDescriptor", run: recycled},
	{name: "FIFOOpenWaits", run: fifoOpen},
	{name: "Law3CancelFIFOOpenTakesNothing", run: cancelFIFO},
	{name: "Law3CancelFIFOOpenDeliversDescriptor", run: cancelFIFORace},
	{name: "Law3CancelAllFIFOOpens", run: cancelAllFIFOs, threads: 2},
	{name: "Law5WaitingOpensStarveNobody", run: starveNobody, threads: 2},
	{name: "Law5WaitingReadsStarveNobody", run: readsStarveNobody, threads: 1},
	{name: "ThreadsAreBounded", run: boundedThreads, threads: 3},
	{name: "Law5IdleUsesNoCPU", run: idle},
}

func poll(f *fixture) {
	r, w := f.pipe()
	f.must(&driver.Request{Kind: driver.Poll, FD: w, Arg: unix.POLLOUT}, unix.POLLOUT)
	f.put(w, "x")
	f.must(&driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}, unix.POLLIN)
	f.closeHandle(w)
	q := &driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}
	if n, err := f.do(q); err != nil || n&unix.POLLHUP == 0 {
		f.Errorf("a pipe without writers: %#x, %v", n, err) // POLLHUP comes unasked
	}
	file := f.openFile(f.tempFile(""), unix.O_RDWR) // always ready
	f.must(&driver.Request{Kind: driver.Poll, FD: file, Arg: unix.POLLIN | unix.POLLOUT}, unix.POLLIN|unix.POLLOUT)
}

func pollWaits(f *fixture) {
	for range 50 {
		r, w := f.pipe()
		a := &driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}
		b := &driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}
		f.start(a)
		f.start(b)
		f.stay(a, b)
		f.put(w, "x")
		f.await(a, b)
		if a.N != unix.POLLIN || b.N != unix.POLLIN || a.Err != nil || b.Err != nil {
			f.Fatalf("%#x, %v and %#x, %v", a.N, a.Err, b.N, b.Err)
		}
		if s := f.rest(r, w); s != "x" {
			f.Fatalf("left in the pipe: %q", s)
		}
	}
}

// pollHangUp: an end that hangs up is reported to a poll that asks for nothing else, and data is not.
func pollHangUp(f *fixture) {
	r, w := f.pipe()
	q := &driver.Request{Kind: driver.Poll, FD: r}
	f.start(q)
	f.put(w, "x")
	f.stay(q)
	f.cancel(q)
	f.canceled(q)
	again(q)
	f.start(q)
	f.stay(q)
	f.closeHandle(w)
	if f.await(q); q.N != unix.POLLHUP || q.Err != nil {
		f.Errorf("%#x, %v", q.N, q.Err)
	}
}

// cancelPollRace: data comes while the poll is cancelled. It is reported, or was cancelled, and a later poll finds it.
func cancelPollRace(f *fixture) {
	r, w := f.pipe()
	ready := 0
	for i := range 1000 {
		q := &driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}
		f.start(q)
		f.flush()
		done := make(chan error, 1)
		go func() { done <- put(w, "x") }()
		for range i % 7 {
			runtime.Gosched()
		}
		f.cancel(q)
		f.await(q)
		if err := <-done; err != nil {
			f.Fatal(err)
		}
		switch {
		case q.Err == nil && q.N == unix.POLLIN:
			ready++
		case q.Err != driver.ErrCanceled:
			f.Fatalf("%#x, %v", q.N, q.Err)
		}
		f.must(&driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}, unix.POLLIN)
		if s, err := take(r, 2); s != "x" || err != nil {
			f.Fatalf("%q, %v", s, err)
		}
	}
	f.Logf("%d of 1000 were faster than their cancel", ready)
}

func cancelPoll(f *fixture) {
	r, w := f.pipe()
	a := &driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}
	b := &driver.Request{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}
	f.start(a)
	f.start(b)
	f.stay(a, b)
	f.cancel(a)
	f.canceled(a)
	f.stay(b)
	f.put(w, "x")
	if f.await(b); b.N != unix.POLLIN || b.Err != nil {
		f.Errorf("%#x, %v", b.N, b.Err)
	}
}

// cancelBeforeWaits: a cancel that came before Submit, for kinds that wait other than reads.
func cancelBeforeWaits(f *fixture) {
	r, _ := f.pipe()
	_, full := f.pipe()
	fillPipe(f, full)
	for range 10 {
		for _, q := range []*driver.Request{
			{Kind: driver.Poll, FD: r, Arg: unix.POLLIN}, openWaiting(f.fifo(), unix.O_RDONLY), openWaiting(f.fifo(), unix.O_WRONLY),
			vectored(driver.Readv, r, driver.CurrentOffset, []int{1, 1}), write(full, "x", driver.CurrentOffset),
		} {
			f.cancel(q)
			f.start(q)
			f.canceled(q)
		}
	}
}

func badPolls(f *fixture) {
	for _, h := range []driver.Handle{badHandle, ^driver.Handle(0), driver.RegisteredHandle(7)} {
		f.fails(&driver.Request{Kind: driver.Poll, FD: h, Arg: unix.POLLIN}, unix.EBADF)
	}
}

// nonblocking makes h what O_NONBLOCK opens.
func nonblocking(f *fixture, h driver.Handle) {
	f.Helper()
	if err := unix.SetNonblock(int(h), true); err != nil {
		f.Fatal(err)
	}
}

// nonblockingRead: that the descriptor was opened with O_NONBLOCK is between others; a request waits. Linux: fact 19.
func nonblockingRead(f *fixture) {
	r, w := f.pipe()
	nonblocking(f, r)
	for range 20 {
		for _, q := range []*driver.Request{
			read(r, 8, driver.CurrentOffset), vectored(driver.Readv, r, driver.CurrentOffset, []int{1, 7}),
		} {
			f.start(q)
			f.stay(q)
			f.cancel(q)
			f.canceled(q)
			again(q)
			f.start(q)
			f.stay(q)
			f.put(w, "data")
			if f.await(q); q.N != 4 || q.Err != nil {
				f.Fatalf("%v: %d, %v", q.Kind, q.N, q.Err)
			}
		}
	}
	if flags, err := unix.FcntlInt(uintptr(r), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		f.Errorf("the driver has changed the descriptor's flags: %#x, %v", flags, err)
	}
}

func nonblockingWrite(f *fixture) {
	r, w := f.pipe()
	nonblocking(f, w)
	filled := fillPipe(f, w)
	for _, q := range []*driver.Request{
		write(w, "x", driver.CurrentOffset),
		{Kind: driver.Writev, FD: w, Off: driver.CurrentOffset, Ext: &driver.Ext{Vec: [][]byte{[]byte("x")}}},
	} {
		f.start(q)
		f.stay(q)
		f.cancel(q)
		f.canceled(q)
		again(q)
		f.start(q)
		f.stay(q)
		if s, err := take(r, filled); len(s) != filled || err != nil {
			f.Fatalf("%d of %d bytes, %v", len(s), filled, err)
		}
		if f.await(q); q.N != 1 || q.Err != nil {
			f.Fatalf("%v: %d, %v", q.Kind, q.N, q.Err)
		}
		if s, err := take(r, 8); s != "x" || err != nil {
			f.Fatalf("%q, %v", s, err)
		}
		fillPipe(f, w)
	}
}

// recycled: what a driver remembers of a descriptor (its place in an epoll set, say) is not true of the next that has its number,
// even if the old one lives on under another.
func recycled(f *fixture) {
	for _, kept := range []bool{false, true} {
		for range 20 {
			r, w := f.pipe()
			q := read(r, 8, driver.CurrentOffset)
			f.start(q)
			f.stay(q)
			f.put(w, "data")
			f.await(q)
			other := driver.Handle(0)
			if kept {
				fd, err := unix.FcntlInt(uintptr(r), unix.F_DUPFD_CLOEXEC, 0)
				if err != nil {
					f.Fatal(err)
				}
				other = f.keep(driver.Handle(fd))
			}
			f.closeHandle(r)
			again, feed := f.pipe() // the lowest free number is r's
			if again != r {
				f.Fatalf("descriptor %d instead of %d", again, r)
			}
			if kept {
				f.put(w, "old")
			}
			q = read(again, 8, driver.CurrentOffset)
			f.start(q)
			f.stay(q)
			f.put(feed, "new")
			if f.await(q); got(q) != "new" || q.Err != nil {
				f.Fatalf("%q, %v", got(q), q.Err)
			}
			if kept {
				q = read(other, 8, driver.CurrentOffset)
				if f.must(q, 3); got(q) != "old" {
					f.Fatalf("%q, %v", got(q), q.Err)
				}
				f.closeHandle(other)
			}
			for _, h := range []driver.Handle{again, feed, w} {
				f.closeHandle(h)
			}
		}
	}
}

func (f *fixture) fifo() (path string) {
	f.Helper()
	path = filepath.Join(f.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o644); err != nil {
		f.Fatal(err)
	}
	return path
}

func openWaiting(path string, flags int) *driver.Request {
	return &driver.Request{Kind: driver.Open, Flags: driver.Waits, FD: driver.CurrentDir, Arg: uint32(flags),
		Ext: &driver.Ext{Path: path}}
}

// peer opens the other end of a FIFO as soon as somebody waits for it there.
func (f *fixture) peer(path string, flags int) driver.Handle {
	f.Helper()
	for {
		switch fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err {
		case nil:
			return f.keep(driver.Handle(fd))
		case unix.ENXIO, unix.EINTR:
			f.collect(0) // the driver may have to start the other open again
			runtime.Gosched()
		default:
			f.Fatal(err)
		}
	}
}

// fifoOpen: opening one end waits for the other, as open(2) does. Linux: fact 16.
func fifoOpen(f *fixture) {
	path := f.fifo()
	r := openWaiting(path, unix.O_RDONLY)
	f.start(r)
	f.stay(r)
	w := f.peer(path, unix.O_WRONLY)
	if f.await(r); r.Err != nil {
		f.Fatal(r.Err)
	}
	end := f.keep(driver.Handle(r.N))
	f.put(w, "data")
	q := read(end, 8, driver.CurrentOffset)
	if f.must(q, 4); got(q) != "data" {
		f.Errorf("read %q", got(q))
	}
	if flags, err := unix.FcntlInt(uintptr(end), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		f.Errorf("the driver has changed the descriptor's flags: %#x, %v", flags, err)
	}

	path = f.fifo()
	o := openWaiting(path, unix.O_WRONLY)
	f.start(o)
	f.stay(o)
	other := f.peer(path, unix.O_RDONLY)
	if f.await(o); o.Err != nil {
		f.Fatal(o.Err)
	}
	end = f.keep(driver.Handle(o.N))
	f.must(write(end, "data", driver.CurrentOffset), 4)
	if s, err := take(other, 8); s != "data" {
		f.Errorf("read %q, %v", s, err)
	}
	f.must(openNonblocking(f, path), 0)
	f.fails(&driver.Request{Kind: driver.Open, Flags: driver.Waits, FD: driver.CurrentDir,
		Arg: unix.O_WRONLY | unix.O_NONBLOCK, Ext: &driver.Ext{Path: f.fifo()}}, unix.ENXIO)
}

// openNonblocking opens path for reading with O_NONBLOCK, which waits for nobody, and returns the close of what came of it.
func openNonblocking(f *fixture, path string) *driver.Request {
	f.Helper()
	r := openWaiting(path, unix.O_RDONLY|unix.O_NONBLOCK)
	n, err := f.do(r)
	if err != nil {
		f.Fatal(err)
	}
	return &driver.Request{Kind: driver.Close, FD: driver.Handle(n)}
}

// cancelFIFO: after the cancel there is no reader, and no writer, that nobody knows of.
func cancelFIFO(f *fixture) {
	for i := range 40 {
		path := f.fifo()
		r := openWaiting(path, unix.O_RDONLY)
		f.start(r)
		if i%2 == 0 {
			f.stay(r)
		}
		f.cancel(r)
		f.canceled(r)
		if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.ENXIO {
			f.Fatalf("a reader is left: %d, %v", fd, err)
		}
		w := openWaiting(path, unix.O_WRONLY)
		f.start(w)
		if i%2 == 0 {
			f.stay(w)
		}
		f.cancel(w)
		f.canceled(w)
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			f.Fatal(err)
		}
		if n, err := unix.Read(fd, make([]byte, 1)); n != 0 || err != nil {
			f.Fatalf("a writer is left: %d, %v", n, err)
		}
		unix.Close(fd)
	}
}

// cancelFIFORace: the other end comes while the open is cancelled. The descriptor is delivered, or there is none.
func cancelFIFORace(f *fixture) {
	opened := 0
	for i := range 100 {
		path := f.fifo()
		r := openWaiting(path, unix.O_RDONLY)
		f.start(r)
		f.flush()
		var wg sync.WaitGroup
		wg.Go(func() {
			fd, err := unix.Open(path, unix.O_RDWR, 0) // waits for nobody, and is the peer of both ends
			if err != nil {
				f.Error(err)
				return
			}
			unix.Close(fd)
		})
		for range i % 10 {
			runtime.Gosched()
		}
		f.cancel(r)
		f.await(r)
		wg.Wait()
		switch r.Err {
		case nil:
			opened++
			f.must(&driver.Request{Kind: driver.Close, FD: driver.Handle(r.N)}, 0)
		case driver.ErrCanceled:
		default:
			f.Fatal(r.Err)
		}
	}
	f.Logf("%d of 100 opens were faster than their cancel", opened)
}

func fifoOpens(f *fixture, n int) []*driver.Request {
	var all []*driver.Request
	for range n {
		r := openWaiting(f.fifo(), unix.O_RDONLY)
		f.start(r)
		all = append(all, r)
	}
	return all
}

// cancelAllFIFOs: more opens wait than the driver has threads.
func cancelAllFIFOs(f *fixture) {
	all := fifoOpens(f, 20)
	f.stay(all...)
	f.cancel(all[19])
	f.canceled(all[19])
	f.cancel(all[0])
	f.canceled(all[0])
	f.d.CancelAll()
	f.canceled(all[1:19]...)
}

func starveNobody(f *fixture) {
	all := fifoOpens(f, 20)
	f.stay(all...)
	path := f.tempFile("content")
	file := f.openFile(path, os.O_RDONLY)
	f.must(read(file, 16, 0), 7)
	f.must(stat(driver.CurrentDir, path, 0), 0)
	f.stay(all...)
	f.d.CancelAll()
	f.canceled(all...)
}

func readsStarveNobody(f *fixture) {
	all := waiting(f, 50)
	f.stay(all...)
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	f.must(read(file, 16, 0), 7)
	f.stay(all...)
	f.d.CancelAll()
	f.canceled(all...)
}

func boundedThreads(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDWR)
	for range 500 {
		r := read(file, 16, 0)
		r.Flags = driver.Regular
		f.start(r)
		if n := f.d.Threads(); n < 0 || n > 3 {
			f.Fatalf("%d threads, at most 3 asked for", n)
		}
	}
	f.drain()
}
