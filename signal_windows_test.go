package ringport

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/patience"
	"github.com/ringport/ringport/internal/win32/win32test"
)

// newSignal makes what is signalled between set and clear, each of which may be called several times: an event.
func newSignal(t testing.TB) bell {
	t.Helper()
	h, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bell{h: Handle(h)}
}

func (s bell) set() error { return windows.SetEvent(windows.Handle(s.h)) }

func (s bell) clear() error { return windows.ResetEvent(windows.Handle(s.h)) }

// signalsMost is how many of n signals a test makes: under Wine each ten of their registrations are a sixth of a thread.
func signalsMost(t *testing.T, n int) int {
	if wine {
		return min(n, 200)
	}
	return n
}

// TestWatch_Mutex: who has waited for a mutex owns it, which a manager can't.
func TestWatch_Mutex(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		h, err := windows.CreateMutex(nil, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(h)
		r, calls := watch(t, m, Handle(h), Signalled, Persistent)
		if ready := receive(t, m, calls); ready != Error || !errors.Is(r.Err(), errors.ErrUnsupported) {
			t.Errorf("%v, %v", ready, r.Err())
		}
	})
}

// TestWatch_EventThatResetsItself: each signal is reported once, to one registration.
func TestWatch_EventThatResetsItself(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		h, err := windows.CreateEvent(nil, 0, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer windows.CloseHandle(h)
		both := make(chan Event, 2)
		for range 2 {
			if _, err := m.Watch(Handle(h), Signalled, Persistent, func(_ *Registration, ready Event) { both <- ready }); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			if err := windows.SetEvent(h); err != nil {
				t.Fatal(err)
			}
			if ready := receive(t, m, both); ready != Signalled {
				t.Fatal(ready)
			}
		}
		quiet(t, m)
		if len(both) != 0 {
			t.Error("a signal was reported twice")
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// consoleChild makes a console, which the tests have none of, and watches its input.
var consoleChild = child("watch console", func() error {
	if err := win32test.NewConsole(); err != nil {
		return err
	}
	for i := range 8 {
		m, err := New(Config{CallerDriven: i%2 == 0})
		if err != nil {
			return err
		}
		name, err := windows.UTF16PtrFromString("CONIN$")
		if err != nil {
			return err
		}
		h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil,
			windows.OPEN_EXISTING, 0, 0)
		if err != nil {
			return fmt.Errorf("CONIN$: %w", err)
		}
		if i%4 < 2 { // else a thread finds out what it is
			if err := m.Attach(Handle(h)); err == nil {
				return errors.New("a console was attached")
			}
		}
		if err := watchConsole(m, h); err != nil {
			return err
		}
		windows.CloseHandle(h)
		if err := m.Close(); err != nil {
			return err
		}
	}
	return nil
})

func watchConsole(m *Manager, h windows.Handle) error {
	if err := windows.FlushConsoleInputBuffer(h); err != nil {
		return err
	}
	calls := make(chan Event, callsMost)
	r, err := m.Watch(Handle(h), Readable, Persistent, func(_ *Registration, ready Event) {
		select {
		case calls <- ready:
		default:
		}
	})
	if err != nil {
		return err
	}
	heard := func(n int) error {
		for n > 0 {
			if !m.shared {
				if _, err := m.Step(patience.Limit); err != nil {
					return err
				}
				if len(calls) == 0 {
					continue
				}
			}
			if ready := <-calls; ready != Readable {
				return fmt.Errorf("%v, %v", ready, r.Err())
			}
			n--
		}
		return nil
	}
	op := Nop()
	if _, err := m.Do(context.Background(), &op); err != nil {
		return err
	}
	if len(calls) != 0 {
		return errors.New("there was no input, and the function was called")
	}
	if err := win32test.PressKey(h, 'x'); err != nil {
		return err
	}
	if err := heard(3); err != nil { // it is still there
		return err
	}
	if err := windows.FlushConsoleInputBuffer(h); err != nil {
		return err
	}
	return r.Close() // while it waits, or is called
}

// TestWatch_Console: a key that nobody reads is reported again and again.
func TestWatch_Console(t *testing.T) { runChild(t, consoleChild) }
