package drivertest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// What only Linux has, or has for certain.
var linuxTests = []test{
	{name: "Splice", run: splice},
	{name: "SpliceWaits", run: spliceWaits},
	{name: "SpliceWaitsForItsOutput", run: spliceOutput},
	{name: "Law8BadSplices", run: badSplices},
	{name: "Fallocate", run: fallocate},
	{name: "Fadvise", run: fadvise},
	{name: "RenameFlags", run: renameFlags},
	{name: "StatBirthTime", run: birthTime},
	{name: "Raw", run: raw},
	{name: "DirectReads", run: direct},
	{name: "Law8DeviceFull", run: deviceFull},
	{name: "Terminal", run: terminal},
	{name: "RegisteredFilesOfOtherKinds", run: registeredKinds},
	{name: "PollableInForeignLoop", run: foreignLoop},
	{name: "SubmitFromThreadThatDies", run: dyingThread, modes: sharedOnly},
	{name: "OpenFromThreadThatDies", run: dyingThreadOpen, modes: sharedOnly},
}

func spliceOf(from driver.Handle, off int64, to driver.Handle, off2, bytes int64) *driver.Request {
	return &driver.Request{Kind: driver.Splice, FD: from, Off: off, Len: bytes, Ext: &driver.Ext{FD2: to, Off2: off2}}
}

func splice(f *fixture) {
	path := f.tempFile("0123456789")
	file := f.openFile(path, unix.O_RDWR)
	r, w := f.pipe()
	f.must(spliceOf(file, 3, w, driver.CurrentOffset, 5), 5)
	f.must(spliceOf(r, driver.CurrentOffset, file, 0, 3), 3)
	f.must(spliceOf(file, driver.CurrentOffset, w, driver.CurrentOffset, 2), 2) // moves the position
	f.must(spliceOf(file, driver.CurrentOffset, w, driver.CurrentOffset, 100), 8)
	f.must(spliceOf(file, driver.CurrentOffset, w, driver.CurrentOffset, 100), 0) // the end
	if s := f.rest(r, w); s != "67"+"34"+"53456789" || f.content(path) != "3453456789" {
		f.Errorf("%q in the pipe, %q in the file", s, f.content(path))
	}
	f.must(spliceOf(r, driver.CurrentOffset, file, 0, 3), 0)
}

func spliceWaits(f *fixture) {
	for _, nonblock := range []bool{false, true} {
		r, w := f.pipe()
		if nonblock {
			nonblocking(f, r)
		}
		file := f.openFile(f.tempFile(""), unix.O_RDWR)
		for range 10 {
			q := spliceOf(r, driver.CurrentOffset, file, 0, 8)
			f.start(q)
			f.stay(q)
			f.cancel(q)
			f.canceled(q)
			again(q)
			f.start(q)
			f.stay(q)
			f.put(w, "data")
			if f.await(q); q.N != 4 || q.Err != nil {
				f.Fatalf("nonblocking %v: %d, %v", nonblock, q.N, q.Err)
			}
		}
	}
}

// spliceOutput: there is something to read, and no place to put it.
func spliceOutput(f *fixture) {
	for _, nonblock := range []bool{false, true} {
		from, feed := f.pipe()
		to, full := f.pipe()
		file := f.openFile(f.tempFile("content"), unix.O_RDONLY)
		f.put(feed, "data")
		if nonblock {
			nonblocking(f, from)
			nonblocking(f, full)
		}
		for range 4 {
			for _, q := range []*driver.Request{
				spliceOf(from, driver.CurrentOffset, full, driver.CurrentOffset, 4), spliceOf(file, 0, full, driver.CurrentOffset, 4),
			} {
				filled := fillPipe(f, full)
				f.start(q)
				for range 100 { // attempts without end would come to one
					f.stay(q)
				}
				f.cancel(q)
				f.canceled(q)
				again(q)
				f.start(q)
				f.stay(q)
				if s, err := take(to, filled); len(s) != filled || err != nil {
					f.Fatalf("%d of %d bytes, %v", len(s), filled, err)
				}
				if f.await(q); q.N != 4 || q.Err != nil {
					f.Fatalf("nonblocking %v: %d, %v", nonblock, q.N, q.Err)
				}
				if s, err := take(to, 8); len(s) != 4 || err != nil {
					f.Fatalf("%q, %v", s, err)
				}
				if q.FD == from {
					f.put(feed, "data")
				}
			}
		}
	}
}

func badSplices(f *fixture) {
	file := f.openFile(f.tempFile("content"), unix.O_RDWR)
	r, w := f.pipe()
	f.fails(spliceOf(badHandle, 0, w, driver.CurrentOffset, 4), unix.EBADF)
	f.fails(spliceOf(file, 0, badHandle, driver.CurrentOffset, 4), unix.EBADF)
	f.fails(spliceOf(w, driver.CurrentOffset, file, 0, 4), unix.EBADF) // the wrong end
	f.fails(spliceOf(file, 0, r, driver.CurrentOffset, 4), unix.EBADF)
	f.fails(spliceOf(file, 0, file, 4, 4), unix.EINVAL)      // no pipe
	f.fails(spliceOf(file, 0, w, 0, 4), unix.ESPIPE)         // a pipe has no offsets
	f.must(spliceOf(file, 0, w, driver.CurrentOffset, 0), 0) // nothing
	q := spliceOf(r, driver.CurrentOffset, file, 0, 4)
	q.Arg = 1 << 20
	f.fails(q, unix.EINVAL)
	q.Arg = unix.SPLICE_F_NONBLOCK // the caller asks not to wait
	f.fails(q, unix.EAGAIN)
}

func fallocate(f *fixture) {
	path := f.tempFile("content")
	file := f.openFile(path, unix.O_RDWR)
	f.must(&driver.Request{Kind: driver.Fallocate, FD: file, Off: 0, Len: 1 << 16}, 0)
	if info, err := os.Stat(path); err != nil || info.Size() != 1<<16 {
		f.Errorf("%v, %v", info.Size(), err)
	}
	f.must(&driver.Request{Kind: driver.Fallocate, FD: file, Off: 1 << 16, Len: 1 << 16, Arg: unix.FALLOC_FL_KEEP_SIZE}, 0)
	q := stat(file, "", 0)
	if f.must(q, 0); q.Ext.Stat.SizeBytes != 1<<16 || q.Ext.Stat.Blocks < 2<<16/512 {
		f.Errorf("%+v", *q.Ext.Stat)
	}
	f.must(&driver.Request{Kind: driver.Fallocate, FD: file, Off: 0, Len: 4,
		Arg: unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE}, 0)
	if s := f.content(path)[:7]; s != "\x00\x00\x00\x00ent" {
		f.Errorf("%q", s)
	}
	r, _ := f.pipe()
	for _, c := range []struct {
		h        driver.Handle
		off, len int64
		mode     uint32
		want     error
	}{
		{badHandle, 0, 4, 0, unix.EBADF}, {file, 0, 0, 0, unix.EINVAL}, {file, -1, 4, 0, unix.EINVAL}, {file, 0, -4, 0, unix.EINVAL},
		{file, 0, 4, 1 << 20, unix.EOPNOTSUPP}, {r, 0, 4, 0, unix.EBADF}, {f.openFile(path, unix.O_RDONLY), 0, 4, 0, unix.EBADF},
	} {
		f.fails(&driver.Request{Kind: driver.Fallocate, FD: c.h, Off: c.off, Len: c.len, Arg: c.mode}, c.want)
	}
}

func fadvise(f *fixture) {
	file := f.openFile(f.tempFile("content"), unix.O_RDONLY)
	for _, advice := range []uint32{unix.FADV_NORMAL, unix.FADV_SEQUENTIAL, unix.FADV_RANDOM, unix.FADV_WILLNEED, unix.FADV_DONTNEED} {
		for _, length := range []int64{0, 4, 1 << 40} {
			f.must(&driver.Request{Kind: driver.Fadvise, FD: file, Len: length, Arg: advice}, 0)
		}
	}
	f.fails(&driver.Request{Kind: driver.Fadvise, FD: file, Len: 4, Arg: 99}, unix.EINVAL)
	f.fails(&driver.Request{Kind: driver.Fadvise, FD: file, Len: -4}, unix.EINVAL)
	f.fails(&driver.Request{Kind: driver.Fadvise, FD: badHandle, Len: 4}, unix.EBADF)
	r, _ := f.pipe()
	f.fails(&driver.Request{Kind: driver.Fadvise, FD: r, Len: 4}, unix.ESPIPE)
}

func renameFlags(f *fixture) {
	path, dir := f.tempDir()
	f.Chdir(path)
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(name, []byte(name), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	f.fails(twoPaths(driver.Rename, dir, "a", dir, "b", unix.RENAME_NOREPLACE), unix.EEXIST)
	f.must(twoPaths(driver.Rename, dir, "a", dir, "b", unix.RENAME_EXCHANGE), 0)
	if f.content("a") != "b" || f.content("b") != "a" {
		f.Errorf("%q, %q", f.content("a"), f.content("b"))
	}
	f.must(twoPaths(driver.Rename, dir, "a", dir, "c", unix.RENAME_NOREPLACE), 0)
	f.fails(twoPaths(driver.Rename, dir, "b", dir, "c", 1<<20), unix.EINVAL)
}

func birthTime(f *fixture) {
	path := f.tempFile("")
	r := stat(driver.CurrentDir, path, 0)
	f.must(r, 0)
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &x); err != nil {
		f.Fatal(err)
	}
	want := time.Time{}
	if x.Mask&unix.STATX_BTIME != 0 {
		want = time.Unix(x.Btime.Sec, int64(x.Btime.Nsec))
	}
	if !r.Ext.Stat.BirthTime.Equal(want) {
		f.Errorf("born %v, statx says %v", r.Ext.Stat.BirthTime, want)
	}
	r = stat(driver.CurrentDir, "/proc/self/stat", 0) // keeps none
	if f.must(r, 0); !r.Ext.Stat.BirthTime.IsZero() {
		f.Errorf("born %v", r.Ext.Stat.BirthTime)
	}
}

// raw is for io_uring; others say that they cannot.
func raw(f *fixture) {
	file := f.openFile(f.tempFile("content"), unix.O_RDONLY)
	buf := make([]byte, 16)
	r := &driver.Request{Kind: driver.Raw, Ext: &driver.Ext{Keep: []any{buf}, Raw: func(e *ring.SQE) {
		e.Opcode, e.FD, e.Off, e.Len = ring.OpRead, int32(file), 3, uint32(len(buf))
		e.Addr = uint64(uintptr(unsafe.Pointer(&buf[0]))) // on the heap, and held by Keep
	}}}
	if f.d.Name() != "io_uring" {
		f.fails(r, driver.ErrUnsupported)
		f.fails(r, errors.ErrUnsupported)
		return
	}
	if f.must(r, 4); string(buf[:4]) != "tent" || r.Ext.Result.Res != 4 {
		f.Errorf("%q, %+v", buf[:4], r.Ext.Result)
	}
	r.Ext.Raw = func(e *ring.SQE) { e.Opcode, e.FD = ring.OpRead, -1 }
	if f.fails(r, unix.EBADF); r.Ext.Result.Res != -int32(unix.EBADF) {
		f.Errorf("%+v", r.Ext.Result)
	}
	r.Ext.Raw = "no function"
	f.fails(r, unix.EINVAL)
}

// direct: such a read cannot be stopped, and its data is delivered. Linux: fact 18.
func direct(f *fixture) {
	const block, blocks = 4096, 64
	path := f.tempFile(strings.Repeat("0123456789abcdef", block*blocks/16))
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err == unix.EINVAL {
		f.Skip("the file system of the temporary folder has no direct I/O")
	} else if err != nil {
		f.Fatal(err)
	}
	file := f.keep(driver.Handle(fd))
	for i := range blocks {
		big := make([]byte, 2*block)
		skip := -uintptr(unsafe.Pointer(&big[0])) & (block - 1)
		r := &driver.Request{Kind: driver.Read, FD: file, Off: int64(i) * block, Buf: big[skip : skip+block]}
		f.start(r)
		if i%2 == 0 {
			f.flush()
		}
		if i%4 != 3 {
			f.cancel(r)
		}
		if f.await(r); r.Err != driver.ErrCanceled && (r.Err != nil || got(r) != strings.Repeat("0123456789abcdef", block/16)) {
			f.Fatalf("%d, %v", r.N, r.Err)
		}
		if i%4 == 3 && r.Err != nil {
			f.Fatal(r.Err)
		}
		if i == 0 { // misaligned
			r = &driver.Request{Kind: driver.Read, FD: file, Off: 1, Buf: big[skip+1 : skip+100]}
			f.fails(r, unix.EINVAL)
		}
	}
}

func deviceFull(f *fixture) {
	full := f.openFile("/dev/full", unix.O_WRONLY)
	f.fails(write(full, "x", driver.CurrentOffset), unix.ENOSPC)
	f.fails(vectored(driver.Writev, full, driver.CurrentOffset, []int{1, 1}), unix.ENOSPC)
}

// terminal: a read waits for a line, and when it is cancelled the line is the next one's.
func terminal(f *fixture) {
	keyboard := f.openFile("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	if err := unix.IoctlSetPointerInt(int(keyboard), unix.TIOCSPTLCK, 0); err != nil {
		f.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keyboard), unix.TIOCGPTN)
	if err != nil {
		f.Fatal(err)
	}
	screen := f.openFile(fmt.Sprintf("/dev/pts/%d", number), unix.O_RDWR|unix.O_NOCTTY)
	for i := range 20 {
		r := read(screen, 64, driver.CurrentOffset)
		f.start(r)
		f.stay(r)
		f.put(keyboard, "half a ")
		f.stay(r)
		f.cancel(r)
		f.canceled(r)
		again(r)
		f.start(r)
		f.stay(r)
		f.put(keyboard, "line\n")
		if f.await(r); got(r) != "half a line\n" || r.Err != nil {
			f.Fatalf("round %d: %q, %v", i, got(r), r.Err)
		}
	}
	f.must(write(screen, "output", driver.CurrentOffset), 6)
}

func registeredKinds(f *fixture) {
	path := f.tempFile("0123456789")
	r, w := f.pipe()
	if err := f.d.RegisterFiles([]driver.Handle{f.openFile(path, unix.O_RDWR), r, w}); err != nil {
		f.Fatal(err)
	}
	file, rr, rw := driver.RegisteredHandle(0), driver.RegisteredHandle(1), driver.RegisteredHandle(2)
	f.must(spliceOf(file, 2, rw, driver.CurrentOffset, 3), 3)
	f.must(spliceOf(rr, driver.CurrentOffset, file, 0, 3), 3)
	f.must(&driver.Request{Kind: driver.Fallocate, FD: file, Len: 20}, 0)
	f.must(&driver.Request{Kind: driver.Fadvise, FD: file, Arg: unix.FADV_SEQUENTIAL}, 0)
	if s := f.content(path); s != "2343456789"+strings.Repeat("\x00", 10) {
		f.Errorf("%q", s)
	}
}

// foreignLoop: a loop that sleeps in epoll_wait(2), on the driver's handle among others, is woken for a completion, and in owned mode
// for a Wake.
func foreignLoop(f *fixture) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		f.Fatal(err)
	}
	defer unix.Close(epoll)
	h, ok := f.d.Pollable()
	if !ok {
		f.Fatal("every driver has one on Linux")
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(h), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(h)}); err != nil {
		f.Fatal(err)
	}
	sleep := func() {
		f.flush()
		for {
			if n, err := unix.EpollWait(epoll, make([]unix.EpollEvent, 4), -1); n > 0 {
				return
			} else if err != nil && err != unix.EINTR {
				f.Fatal(err)
			}
		}
	}
	r, w := f.pipe()
	for i := range 200 {
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range i % 5 * 10 {
				runtime.Gosched()
			}
			if err := put(w, "data"); err != nil {
				f.Error(err)
			}
		})
		for !f.isBack(q) {
			sleep()
			f.collect(0)
		}
		wg.Wait()
		if got(q) != "data" {
			f.Fatalf("%q, %v", got(q), q.Err)
		}
		if f.owned {
			var woken atomic.Bool
			wg.Go(func() {
				woken.Store(true)
				f.d.Wake()
			})
			for !woken.Load() {
				sleep()
				f.collect(0)
			}
			wg.Wait()
		}
	}
}

// dyingThread: requests outlive the thread that submitted them. io_uring cancels what a thread has in flight when it ends; nobody
// asked for that.
func dyingThread(f *fixture) {
	r, w := f.pipe()
	all := []*driver.Request{
		read(r, 4, driver.CurrentOffset), {Kind: driver.Poll, FD: r, Arg: unix.POLLIN},
		vectored(driver.Readv, r, driver.CurrentOffset, []int{2, 2}),
	}
	for round := range 10 {
		for _, q := range all {
			again(q)
		}
		ended := onDyingThread(func() {
			for _, q := range all {
				f.start(q)
			}
		})
		for !ended() {
			runtime.Gosched()
		}
		f.stay(all...)
		f.put(w, "datadata")
		f.await(all...)
		for _, q := range all {
			if q.Err != nil {
				f.Fatalf("round %d: %v: %v", round, q.Kind, q.Err)
			}
		}
		if all[0].N != 4 || all[1].N != unix.POLLIN || all[2].N != 4 {
			f.Fatalf("round %d: %d, %#x, %d", round, all[0].N, all[1].N, all[2].N)
		}
	}
}

// dyingThreadOpen is the same for an open that waits. Linux keeps the thread until it is done, and no cancel finds the open from
// then on (seen on 6.18): docs/how-it-works.md names this limit.
func dyingThreadOpen(f *fixture) {
	for range 10 {
		path := f.fifo()
		r := openWaiting(path, unix.O_RDONLY)
		ended := onDyingThread(func() { f.start(r) })
		f.stay(r)
		f.closeHandle(f.peer(path, unix.O_WRONLY))
		if f.await(r); r.Err != nil {
			f.Fatal(r.Err)
		}
		f.must(&driver.Request{Kind: driver.Close, FD: driver.Handle(r.N)}, 0)
		for !ended() {
			runtime.Gosched()
		}
	}
}

// onDyingThread runs g on a thread that ends with it, and returns what reports that it has. The main thread never ends, so g must
// not get that one: it is held until another has been found.
func onDyingThread(g func()) (ended func() bool) {
	var wg sync.WaitGroup
	defer wg.Wait()
	release := make(chan struct{})
	defer close(release)
	for {
		dying := make(chan int)
		wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			tid := unix.Gettid()
			if tid == unix.Getpid() {
				dying <- 0
				<-release
				runtime.UnlockOSThread()
				return
			}
			g()
			dying <- tid
		})
		if tid := <-dying; tid != 0 {
			return func() bool {
				_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
				return os.IsNotExist(err)
			}
		}
	}
}
