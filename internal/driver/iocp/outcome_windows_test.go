package iocp

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

func TestHazard10ErrnoOf(t *testing.T) {
	for _, c := range []struct {
		status windows.NTStatus
		want   syscall.Errno
	}{
		{0, 0},
		{windows.STATUS_PENDING, 0},
		{0x10c, 0}, // STATUS_NOTIFY_ENUM_DIR: information
		{0x40000000, 0},
		{windows.STATUS_BUFFER_OVERFLOW, windows.ERROR_MORE_DATA},
		{windows.STATUS_END_OF_FILE, windows.ERROR_HANDLE_EOF},
		{windows.STATUS_PIPE_BROKEN, windows.ERROR_BROKEN_PIPE},
		{windows.STATUS_PIPE_DISCONNECTED, windows.ERROR_PIPE_NOT_CONNECTED},
		{windows.STATUS_CANCELLED, windows.ERROR_OPERATION_ABORTED},
		{windows.STATUS_ACCESS_DENIED, windows.ERROR_ACCESS_DENIED},
	} {
		if got := errnoOf(c.status); got != c.want {
			t.Errorf("%#x: %v, want %v", uint32(c.status), got, c.want)
		}
	}
}

func TestOutcome(t *testing.T) {
	const aborted, more, broken = windows.ERROR_OPERATION_ABORTED, windows.ERROR_MORE_DATA, windows.ERROR_BROKEN_PIPE
	for _, c := range []struct {
		kind  driver.Kind
		errno syscall.Errno
		n     int
		asked bool
		wantN int
		want  error
	}{
		{driver.Read, 0, 5, false, 5, nil},
		{driver.Read, 0, 5, true, 5, nil}, // too late to cancel
		{driver.Read, aborted, 0, true, 0, driver.ErrCanceled},
		{driver.Read, aborted, 0, false, 0, aborted}, // by somebody else
		{driver.Write, aborted, 3, true, 3, nil},
		{driver.Write, aborted, 3, false, 3, nil},
		{driver.Read, more, 4, false, 4, more},
		{driver.Read, more, 4, true, 4, more},
		{driver.Read, windows.ERROR_HANDLE_EOF, 0, false, 0, nil},
		{driver.Readv, broken, 0, false, 0, nil},
		{driver.Read, windows.ERROR_PIPE_NOT_CONNECTED, 0, true, 0, nil},
		{driver.Read, windows.WSAESHUTDOWN, 0, false, 0, nil},
		{driver.Read, windows.WSAEMSGSIZE, 4, false, 4, nil},
		{driver.Write, windows.WSAESHUTDOWN, 0, false, 0, windows.WSAESHUTDOWN},
		{driver.Write, broken, 0, false, 0, broken},
		{driver.Writev, windows.ERROR_PIPE_NOT_CONNECTED, 0, false, 0, windows.ERROR_PIPE_NOT_CONNECTED},
		{driver.Fsync, broken, 0, false, 0, broken},
		{driver.Write, windows.ERROR_NO_DATA, 0, false, 0, windows.ERROR_NO_DATA},
	} {
		if n, err := outcome(c.kind, c.errno, c.n, c.asked); n != c.wantN || err != c.want {
			t.Errorf("%v, %v, %d bytes, asked %v: %d, %v; want %d, %v", c.kind, c.errno, c.n, c.asked, n, err, c.wantN, c.want)
		}
	}
}

// TestHazard29Alarm: a short wait is ended by the alarm alone, a long one by the system and well before its time.
func TestHazard29Alarm(t *testing.T) {
	d, err := Open(driver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range []struct {
		timeout time.Duration
		want    uint32
	}{{-1, 1<<32 - 1}, {0, 0}, {1, 1<<32 - 1}, {4 * tick, 1<<32 - 1}, {4*tick + 1, 32}, {time.Second, 968}, {1<<63 - 1, 1<<31 - 1}} {
		if got := d.alarm.set(d, c.timeout); got != c.want {
			t.Errorf("%v: %d, want %d", c.timeout, got, c.want)
		}
		d.alarm.stop()
	}
	for range 20 {
		if n, err := d.Wait(nil, time.Millisecond); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
}
