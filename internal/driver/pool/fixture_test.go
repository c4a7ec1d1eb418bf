//go:build unix

package pool

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// rig is a driver and its only user. At its end nothing may be left of the driver.
type rig struct {
	*testing.T
	d    *Driver
	back map[*driver.Request]bool // came back and not yet asked for
}

// inBothModes runs test on a shared and on an owned driver.
func inBothModes(t *testing.T, threads int, test func(t *rig)) {
	for _, owned := range []bool{false, true} {
		name := "shared"
		if owned {
			name = "owned"
		}
		t.Run(name, func(t *testing.T) { test(newRig(t, driver.Options{Owned: owned, MaxThreads: threads})) })
	}
}

func newRig(t *testing.T, o driver.Options) *rig {
	t.Helper()
	descriptors, goroutines := openDescriptors(t), runtime.NumGoroutine()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if n := d.Threads(); n != 0 {
			t.Errorf("%d threads after Close", n)
		}
		if n := openDescriptors(t); n != descriptors {
			t.Errorf("%d descriptors before Open, %d after Close", descriptors, n)
		}
		until(func() bool { return runtime.NumGoroutine() <= goroutines }) // those that Close waited for may not be gone yet
	})
	return &rig{T: t, d: d, back: map[*driver.Request]bool{}}
}

// openDescriptors counts this process's.
func openDescriptors(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries { // ReadDir's own is closed by now
		if _, err := os.Lstat("/dev/fd/" + e.Name()); err == nil {
			n++
		}
	}
	return n
}

// until spins until cond holds. If it never does, the test's own time limit ends it, with all stacks.
func until(cond func() bool) {
	for !cond() {
		runtime.Gosched()
	}
}

// start submits r, and has owned mode begin it.
func (t *rig) start(r *driver.Request) *driver.Request {
	t.Helper()
	if t.d.Submit(r) {
		t.back[r] = true
	}
	if err := t.d.Flush(); err != nil {
		t.Fatal(err)
	}
	return r
}

// finish waits until r is back.
func (t *rig) finish(r *driver.Request) (int, error) {
	t.Helper()
	var batch [4]*driver.Request
	for !t.back[r] {
		n, err := t.d.Wait(batch[:], -1)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batch[:n] {
			if b.State != (driver.Private{}) {
				t.Errorf("%v came back with state %+v", b.Kind, b.State)
			}
			if t.back[b] {
				t.Errorf("%v came back twice", b.Kind)
			}
			t.back[b] = true
		}
	}
	delete(t.back, r)
	return r.N, r.Err
}

func (t *rig) do(r *driver.Request) (int, error) {
	t.Helper()
	return t.finish(t.start(r))
}

// must wants r's result.
func (t *rig) must(r *driver.Request, wantN int, wantErr error) {
	t.Helper()
	if n, err := t.finish(r); n != wantN || err != wantErr {
		t.Fatalf("%v: %d, %v, want %d, %v", r.Kind, n, err, wantN, wantErr)
	}
}

// phase is where r is.
func (t *rig) phase(r *driver.Request) uint32 {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	return r.State.Slot & phases
}

// reaches waits until r is in a phase.
func (t *rig) reaches(r *driver.Request, phase uint32) {
	t.Helper()
	until(func() bool {
		if p := t.phase(r); p == done && phase != done {
			t.Fatalf("%v is back: %d, %v", r.Kind, r.N, r.Err)
		}
		return t.phase(r) == phase
	})
}

// cancel cancels r, which must not have done anything.
func (t *rig) cancel(r *driver.Request) {
	t.Helper()
	t.d.Cancel(r)
	t.must(r, 0, driver.ErrCanceled)
}

func (t *rig) pipe() (r, w driver.Handle) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	return t.owned(p[0]), t.owned(p[1])
}

// owned closes fd at the end of the test, before the driver's leaks are counted.
func (t *rig) owned(fd int) driver.Handle {
	t.Cleanup(func() { unix.Close(fd) })
	return driver.Handle(fd)
}

func (t *rig) fifo() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (t *rig) open(path string, flags int) driver.Handle {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	return t.owned(fd)
}

func (t *rig) file(content string) (driver.Handle, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return t.open(path, unix.O_RDWR), path
}

func (t *rig) put(h driver.Handle, content string) {
	t.Helper()
	if n, err := unix.Write(int(h), []byte(content)); n != len(content) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}

// get reads what there is now.
func (t *rig) get(h driver.Handle) string {
	t.Helper()
	if pollNow(int(h), unix.POLLIN) == 0 {
		return ""
	}
	buf := make([]byte, 1<<16)
	n, err := unix.Read(int(h), buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func reading(h driver.Handle, bytes int) *driver.Request {
	return &driver.Request{Kind: driver.Read, FD: h, Buf: make([]byte, bytes), Off: driver.CurrentOffset}
}

func writing(h driver.Handle, content string) *driver.Request {
	return &driver.Request{Kind: driver.Write, FD: h, Buf: []byte(content), Off: driver.CurrentOffset}
}

// blocking blocks a worker until something is written to the pipe h: it passes a pipe off as a regular file.
func blocking(h driver.Handle) *driver.Request {
	r := reading(h, 1)
	r.Flags = driver.Regular
	return r
}

func opening(path string, flags int) *driver.Request {
	return &driver.Request{Kind: driver.Open, Flags: driver.Waits, FD: driver.CurrentDir, Arg: uint32(flags),
		Ext: &driver.Ext{Path: path}}
}

func polling(h driver.Handle, events uint32) *driver.Request {
	return &driver.Request{Kind: driver.Poll, FD: h, Arg: events}
}
