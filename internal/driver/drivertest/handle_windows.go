package drivertest

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// Handles that can't be attached, and what Attach says of them. Windows: facts 16, 17 and 19.
var handleTests = []test{
	{name: "AttachDiagnoses", run: attachDiagnoses},
	{name: "HandleOfAnotherPort", run: otherPort},
	{name: "SynchronousFile", run: synchronousFile},
	{name: "Law3CancelSynchronousRead", run: cancelSynchronous},
	{name: "Law3CancelSynchronousWrite", run: cancelSynchronousWrite},
	{name: "Law3CancelAllSynchronousReads", run: cancelAllSynchronous},
	{name: "Law5WaitingReadsStarveNobody", run: readsStarveNobody, threads: 1},
	{name: "ThreadsEndWhenIdle", run: threadsEnd},
	{name: "PacketsOfOthersAreIgnored", run: foreignPackets},
	{name: "Detach", run: detach},
}

// adopt makes h the fixture's to close, and expects Attach to say want.
func (f *fixture) adopt(h windows.Handle, want error) driver.Handle {
	f.Helper()
	f.handles[driver.Handle(h)] = true
	if err := f.d.Attach(driver.Handle(h)); err != want {
		f.Fatalf("attach: %v, want %v", err, want)
	}
	return driver.Handle(h)
}

// synchronousFile opens path without FILE_FLAG_OVERLAPPED.
func (f *fixture) synchronousFile(path string) driver.Handle {
	f.Helper()
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		f.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, share, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		f.Fatal(err)
	}
	return f.adopt(h, driver.ErrNotOverlapped)
}

// synchronousPipe is an anonymous pipe, which is never overlapped.
func (f *fixture) synchronousPipe() (r, w driver.Handle) {
	f.Helper()
	var in, out windows.Handle
	if err := windows.CreatePipe(&in, &out, nil, 4096); err != nil {
		f.Fatal(err)
	}
	return f.adopt(in, driver.ErrNotOverlapped), f.adopt(out, driver.ErrNotOverlapped)
}

// messagePipe is a pipe of messages.
func (f *fixture) messagePipe() (r, w driver.Handle) {
	f.Helper()
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`\\.\pipe\drivertest-%d-%d`, os.Getpid(), pipes.Add(1)))
	if err != nil {
		f.Fatal(err)
	}
	const mode = windows.PIPE_TYPE_MESSAGE | windows.PIPE_READMODE_MESSAGE
	in, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_INBOUND|windows.FILE_FLAG_OVERLAPPED, mode, 1, 4096, 4096, 0, nil)
	if err != nil {
		f.Fatal(err)
	}
	r = f.keep(driver.Handle(in))
	out, err := windows.CreateFile(name, windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		f.Fatal(err)
	}
	return r, f.keep(driver.Handle(out))
}

func attachDiagnoses(f *fixture) {
	f.synchronousFile(f.tempFile(""))
	f.synchronousPipe()
	event, err := windows.CreateEvent(nil, 0, 0, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.adopt(event, windows.ERROR_INVALID_HANDLE)
	for _, h := range []driver.Handle{0, badHandle, ^driver.Handle(0), ^driver.Handle(1), driver.CurrentDir, driver.RegisteredHandle(0)} {
		if err := f.d.Attach(h); err != windows.ERROR_INVALID_HANDLE {
			f.Errorf("%#x: %v", uintptr(h), err)
		}
	}
	r, _ := f.pipe()
	if err := f.another2(func(d driver.Driver) error { return d.Attach(r) }); err != driver.ErrOtherPort {
		f.Errorf("%v", err)
	}
}

// another2 calls do with another driver, which is closed afterwards.
func (f *fixture) another2(do func(driver.Driver) error) error {
	g := f.another()
	defer g.close()
	return do(g.d)
}

// otherPort: reads of a handle that belongs to another driver wait, are cancelled and deliver.
func otherPort(f *fixture) {
	r, w := f.pipe()
	path := f.tempFile("0123456789")
	file := f.openFile(path, os.O_RDWR)
	g := f.another()
	for _, h := range []driver.Handle{r, w, file} {
		if err := g.d.Attach(h); err != driver.ErrOtherPort {
			f.Fatal(err)
		}
	}
	for range 20 {
		q := read(r, 8, driver.CurrentOffset)
		g.start(q)
		g.stay(q)
		g.cancel(q)
		g.canceled(q)
		g.start(again2(q))
		g.must(write(w, "data", driver.CurrentOffset), 4)
		if g.await(q); got(q) != "data" {
			f.Fatalf("%q, %v", got(q), q.Err)
		}
		g.must(read(file, 4, 3), 4)
		g.must(read(file, 4, 10), 0)
	}
	g.must(write(file, "x", driver.CurrentOffset), 1)
	g.close()
	if s := f.content(path); s != "x123456789" {
		f.Errorf("%q", s)
	}
}

func synchronousFile(f *fixture) {
	path := f.tempFile("content")
	file := f.synchronousFile(path)
	for range 50 {
		q := read(file, 16, 3)
		if f.must(q, 4); got(q) != "tent" {
			f.Fatalf("%q", got(q))
		}
		f.must(read(file, 16, 7), 0)
	}
	f.must(write(file, "C", 0), 1)
	f.must(&driver.Request{Kind: driver.Fsync, FD: file}, 0)
	if s := f.content(path); s != "Content" {
		f.Errorf("%q", s)
	}
}

// cancelSynchronous: the cancel comes before the thread is in its call, or while it is.
func cancelSynchronous(f *fixture) {
	r, w := f.synchronousPipe()
	for i := range 100 {
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		if i%2 == 0 {
			f.stay(q)
		}
		f.cancel(q)
		f.cancel(q)
		f.canceled(q)
	}
	q := read(r, 8, driver.CurrentOffset)
	f.start(q)
	f.must(write(w, "data", driver.CurrentOffset), 4)
	if f.await(q); got(q) != "data" || q.Err != nil {
		f.Errorf("%q, %v", got(q), q.Err)
	}
	f.closeHandle(w)
	f.must(read(r, 8, driver.CurrentOffset), 0)
}

func cancelSynchronousWrite(f *fixture) {
	_, w := f.synchronousPipe()
	q := write(w, strings.Repeat("x", 1<<18), driver.CurrentOffset)
	f.start(q)
	f.stay(q)
	f.cancel(q)
	if f.await(q); q.Err != nil && q.Err != driver.ErrCanceled {
		f.Errorf("%d, %v", q.N, q.Err)
	}
}

func cancelAllSynchronous(f *fixture) {
	var all []*driver.Request
	for range 10 {
		r, _ := f.synchronousPipe()
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		all = append(all, q)
	}
	f.stay(all...)
	f.d.CancelAll()
	f.canceled(all...)
}

func readsStarveNobody(f *fixture) {
	var all []*driver.Request
	for range 5 {
		r, _ := f.synchronousPipe()
		q := read(r, 8, driver.CurrentOffset)
		f.start(q)
		all = append(all, q)
	}
	file := f.synchronousFile(f.tempFile("content"))
	for range 10 {
		f.must(read(file, 16, 0), 7)
	}
	f.stay(all...)
	f.d.CancelAll()
	f.canceled(all...)
}

func threadsEnd(f *fixture) {
	file := f.synchronousFile(f.tempFile("content"))
	for range 50 {
		f.start(read(file, 16, 0))
	}
	if n := f.d.Threads(); n > usualThreads {
		f.Errorf("%d threads", n)
	}
	f.drain()
	for f.d.Threads() > 0 { // a worker that has posted its last result is on its way out
		f.collect(0)
	}
}

// foreignPackets: somebody makes an overlapped call of his own on an attached handle, and its packet comes to the driver's port.
func foreignPackets(f *fixture) {
	r, w := f.pipe()
	foreign := &struct {
		o windows.Overlapped
		b [4]byte
	}{}
	err := windows.ReadFile(windows.Handle(r), foreign.b[:], new(uint32), &foreign.o)
	if err != windows.ERROR_IO_PENDING {
		f.Fatal(err)
	}
	q := read(r, 4, driver.CurrentOffset)
	f.start(q)
	f.flush()
	f.put(w, "notours!")
	f.await(q)
	// Wine has the thread that began a call fetch its data and post its packet: the other's can be later than ours.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); f.collect(time.Millisecond) {
		if foreign, _ := f.d.Strays(); foreign != 0 {
			break
		}
	}
	if got(q) != "urs!" || string(foreign.b[:]) != "noto" {
		f.Errorf("%q, %v; the other's: %q at %p", got(q), q.Err, foreign.b, unsafe.Pointer(foreign))
	}
	if foreign, late := f.d.Strays(); foreign != 1 || late != 0 {
		f.Errorf("%d foreign completions and %d late ones are counted", foreign, late)
	}
}

// detach: Wine can't. What stays attached goes on working.
func detach(f *fixture) {
	r, w := f.pipe()
	if err := f.d.Detach(r); err != nil && !saysWhy(err, "binds a handle to its port for good") {
		f.Errorf("%v", err)
	}
	f.put(w, "data")
	f.must(read(r, 8, driver.CurrentOffset), 4)
	if err := f.d.Detach(badHandle); err != windows.ERROR_INVALID_HANDLE {
		f.Errorf("%v", err)
	}
}
