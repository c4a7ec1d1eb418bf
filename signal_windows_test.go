package ringport

import (
	"errors"
	"testing"

	"golang.org/x/sys/windows"
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
