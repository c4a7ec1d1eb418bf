package drivertest

import (
	"errors"
	"testing"

	"github.com/ringport/ringport/internal/driver"
)

// Handles of registered files are apart from all others.
func TestRegisteredHandles(t *testing.T) {
	for _, index := range []int{0, 1, 1023, 1<<30 - 1} {
		if i, ok := driver.RegisteredHandle(index).Registered(); !ok || i != index {
			t.Errorf("%d: %d, %v", index, i, ok)
		}
	}
	for _, h := range []driver.Handle{0, 1, badHandle, 1<<30 - 1, driver.CurrentDir,
		^driver.Handle(0), ^driver.Handle(1 << 30)} {
		if i, ok := h.Registered(); ok {
			t.Errorf("%#x is no registered file, and is taken for number %d", uintptr(h), i)
		}
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]driver.Kind{}
	for k := range driver.KindCount {
		name := k.String()
		if other, ok := seen[name]; ok || name == "" || name == "unknown" {
			t.Errorf("kind %d is called %q, as is %d", k, name, other)
		}
		seen[name] = k
	}
	if driver.KindCount.String() != "unknown" {
		t.Errorf("no kind is called %q", driver.KindCount)
	}
	for _, k := range []driver.Kind{driver.Read, driver.Write, driver.Readv, driver.Writev} {
		if !k.Transfers() {
			t.Errorf("%v moves the bytes of its buffers", k)
		}
	}
	for _, k := range []driver.Kind{driver.Nop, driver.Splice, driver.Open, driver.Poll, driver.Raw} {
		if k.Transfers() {
			t.Errorf("%v does not move the bytes of its buffers", k)
		}
	}
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		r    *driver.Request
		want int
	}{
		{read(0, 5, 0), 5},
		{&driver.Request{}, 0},
		{&driver.Request{Ext: &driver.Ext{}, Buf: make([]byte, 3)}, 3},
		{&driver.Request{Ext: &driver.Ext{Vec: [][]byte{make([]byte, 3), nil, make([]byte, 4)}}}, 7},
		{&driver.Request{Ext: &driver.Ext{Vec: [][]byte{}}, Buf: make([]byte, 3)}, 0},
	} {
		if n := c.r.Wanted(); n != c.want {
			t.Errorf("%d, want %d", n, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	if !errors.Is(driver.ErrUnsupported, errors.ErrUnsupported) || errors.Is(driver.ErrUnsupported, driver.ErrCanceled) {
		t.Error("ErrUnsupported does not match what it should, or more")
	}
	why := driver.Unsupported("too big")
	if !errors.Is(why, driver.ErrUnsupported) || !errors.Is(why, errors.ErrUnsupported) || errors.Is(why, driver.ErrCanceled) ||
		why.Error() != driver.ErrUnsupported.Error()+": too big" {
		t.Errorf("%v does not match what it should, or more", why)
	}
	cause := errors.New("cause")
	err := &driver.UnavailableError{Backend: "io_uring", Reason: "not permitted", Err: cause}
	if !errors.Is(err, cause) || err.Error() != "io_uring is not available: not permitted: cause" {
		t.Errorf("%v", err)
	}
	if err.Err = nil; err.Error() != "io_uring is not available: not permitted" {
		t.Errorf("%v", err)
	}
}
