//go:build unix

package drivertest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// handlesMax is how far openHandles looks. The suite opens fewer.
const handlesMax = 1024

// openHandles is the descriptors that are open, and what they are where the system says so.
func openHandles() map[int]string {
	open := map[int]string{}
	for fd := range handlesMax {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			what, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			if err != nil {
				what = "open"
			}
			open[fd] = what
		}
	}
	return open
}

// warmUp has the runtime open the descriptors of its poller, and start its goroutine for timers, before anything is counted.
func warmUp(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	if err := r.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	r.Read(make([]byte, 1))
}

func closeHandle(h driver.Handle) error { return unix.Close(int(h)) }

// openFile opens path for the driver.
func (f *fixture) openFile(path string, flags int) driver.Handle {
	f.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		f.Fatalf("open %s: %v", path, err)
	}
	return f.keep(driver.Handle(fd))
}

// pipe makes a pipe for the driver, empty, whose reads wait.
func (f *fixture) pipe() (r, w driver.Handle) {
	f.Helper()
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		f.Fatal(err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return f.keep(driver.Handle(fds[0])), f.keep(driver.Handle(fds[1]))
}

// put writes to a pipe or file past the driver. It may be called from any goroutine.
func put(h driver.Handle, content string) error {
	for b := []byte(content); len(b) > 0; {
		n, err := unix.Write(int(h), b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// take reads from a pipe or file past the driver; it returns nothing at the end.
func take(h driver.Handle, bytes int) (string, error) {
	b := make([]byte, bytes)
	for {
		n, err := unix.Read(int(h), b)
		if err != unix.EINTR {
			return string(b[:max(n, 0)]), err
		}
	}
}

// pollsReadable asks whether a foreign loop that waits for h would go on.
func pollsReadable(h driver.Handle) bool { return ready(h, unix.POLLIN) }
