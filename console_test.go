package ringport

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// heard is that a handler was called.
type heard struct {
	handler string
	event   ConsoleEvent
}

// hear installs a handler that says to ch what it hears. The end of the test stops it.
func hear(t *testing.T, m *Manager, name string, ch chan<- heard) (stop func()) {
	stop = m.HandleConsole(func(e ConsoleEvent) { ch <- heard{name, e} })
	t.Cleanup(stop)
	return stop
}

// TestHandleConsole_Events: each comes to every handler of every manager, the newest first, and to package os/signal as well.
func TestHandleConsole_Events(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.MinWorkers, c.MaxWorkers = 1, 1 // so that who is called first has returned first
		m := open(t, c)
		other := open(t, Config{Backend: c.Backend})
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, consoleSignalsHere...)
		defer signal.Stop(signals)
		ch, elsewhere := make(chan heard, 8), make(chan heard, 8)
		hear(t, m, "oldest", ch)
		hear(t, other, "other", elsewhere)
		hear(t, m, "middle", ch)
		stop := hear(t, m, "newest", ch)
		for i, e := range consoleEventsHere {
			want := []string{"newest", "middle", "oldest"}
			if i == len(consoleEventsHere)-1 {
				stop()
				want = want[1:]
			}
			raise(t, e)
			for _, name := range want {
				if got := receive(t, m, ch); got != (heard{name, e}) {
					t.Errorf("%v for %s: %v", e, name, got)
				}
			}
			if got := <-elsewhere; got != (heard{"other", e}) {
				t.Errorf("the other manager: %v", got)
			}
			if passesOn(e) {
				if s := <-signals; s != consoleSignalsHere[signalIndex(e)] {
					t.Errorf("%v for os/signal: %v", e, s)
				}
			}
		}
		if len(ch) != 0 || len(elsewhere) != 0 {
			t.Error("more events than there were")
		}
	})
}

// TestHandleConsole_Hangs: a handler that does not return holds up no other, and hears of all that came meanwhile, in order, when it has
// returned.
func TestHandleConsole_Hangs(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		ch := make(chan heard, 8)
		hear(t, m, "older", ch)
		busy, release := make(chan bool), make(chan bool)
		m.HandleConsole(func(e ConsoleEvent) {
			busy <- true
			<-release
			ch <- heard{"hanging", e}
		})
		raised := []ConsoleEvent{ConsoleControlC, ConsoleControlC, ConsoleBreak, ConsoleControlC}
		for i, e := range raised {
			raise(t, e)
			if got := receive(t, m, ch); got != (heard{"older", e}) {
				t.Errorf("%v", got)
			}
			if i == 0 {
				<-busy
			}
		}
		for i, e := range raised {
			if i > 0 {
				<-busy
			}
			if len(ch) != 0 {
				t.Error("one handler has two events at a time")
			}
			release <- true
			if got := receive(t, m, ch); got != (heard{"hanging", e}) {
				t.Errorf("%d: %v", i, got)
			}
		}
	})
}

// TestHandleConsole_Stop: nothing is called after it; it waits for a handler that is running, but not for its own caller.
func TestHandleConsole_Stop(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		known := goroutines()
		ch, kept := make(chan heard, 8), make(chan heard, 8)
		var stop func()
		stop = m.HandleConsole(func(e ConsoleEvent) {
			stop()
			stop()
			ch <- heard{"itself", e}
		})
		keep := hear(t, m, "kept", kept)
		raise(t, ConsoleControlC)
		receive(t, m, kept)
		receive(t, m, ch)
		raise(t, ConsoleControlC)
		receive(t, m, kept)
		if len(ch) != 0 {
			t.Error("called after stop")
		}
		keep()
		if err := patience.Until(func() error { return goroutinesOf(known, "consoleListener") }); err != nil {
			t.Error(err)
		}
		if !m.shared {
			return
		}
		var running atomic.Bool
		entered := make(chan bool, 2) // the second event may be handled before stop is called
		stop = m.HandleConsole(func(e ConsoleEvent) {
			running.Store(true)
			entered <- true
			for range 1000 {
				runtime.Gosched()
			}
			running.Store(false)
		})
		raise(t, ConsoleControlC)
		raise(t, ConsoleControlC)
		<-entered
		stop() // the second event, if it still waits, is forgotten
		if running.Load() {
			t.Error("stop returned while the handler was running")
		}
	})
}

// TestHandleConsole_Close: Close ends the manager's handlers and waits for them, but for the one that it is called from, and no other manager's.
func TestHandleConsole_Close(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m, other := open(t, c), open(t, Config{Backend: c.Backend})
		elsewhere, closed := make(chan heard, 8), make(chan error, 1)
		var after atomic.Bool
		hear(t, other, "other", elsewhere)
		late := func(ConsoleEvent) {
			if after.Load() {
				t.Error("called after Close")
			}
		}
		m.HandleConsole(late)
		m.HandleConsole(func(ConsoleEvent) {
			err := m.Close()
			after.Store(true)
			closed <- err
		})
		raise(t, ConsoleControlC)
		if err := receive(t, m, closed); err != nil {
			t.Error(err)
		}
		<-elsewhere
		m.HandleConsole(late)()
		m.HandleConsole(late)
		raise(t, ConsoleControlC)
		<-elsewhere
	})
}

func TestHandleConsole_BadInput(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a nil function was accepted")
				}
			}()
			m.HandleConsole(nil)
		}()
	})
	names := map[string]bool{}
	for _, e := range []ConsoleEvent{ConsoleControlC, ConsoleBreak, ConsoleClose, ConsoleLogoff, ConsoleShutdown, 77} {
		names[e.String()] = true
	}
	if len(names) != 6 || !names["console event 77"] || !names["Ctrl-C"] {
		t.Error(names)
	}
}

var consolePanic = child("console panic", func() error {
	m, err := New(Config{Backend: os.Getenv(BackendVariable), CallerDriven: os.Getenv("MODE") == modeName(true)})
	if err != nil {
		return err
	}
	m.HandleConsole(func(e ConsoleEvent) { panic("out of " + e.String()) })
	raiseHere(ConsoleControlC)
	for end := time.Now().Add(patience.Limit); time.Now().Before(end); runtime.Gosched() {
		m.Step(-1)
	}
	return errors.New("the panic was swallowed")
})

func TestHandleConsole_PanicIsNotSwallowed(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) { checkPanic(t, c, consolePanic, "Ctrl-C") })
}

// slowPanic takes a while to be said, which happens when the panicking goroutine's deferred functions have run.
type slowPanic struct{}

func (slowPanic) Error() string {
	for range 100_000 {
		runtime.Gosched()
	}
	return "out of a handler"
}

// consoleLatePanic ends as Windows ends a process: when all handlers have returned.
var consoleLatePanic = child("console late panic", func() error {
	m, err := New(Config{Backend: os.Getenv(BackendVariable), CallerDriven: os.Getenv("MODE") == modeName(true)})
	if err != nil {
		return err
	}
	m.HandleConsole(func(ConsoleEvent) { panic(slowPanic{}) })
	running := consoles.tell(ConsoleClose)
	go func() {
		running.Wait()
		fmt.Println("a handler that panics is taken for one that has returned")
		os.Exit(0)
	}()
	for {
		m.Step(-1)
	}
})

// TestHandleConsole_PanicComesFirst: nor does the system end the process before the panic does.
func TestHandleConsole_PanicComesFirst(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) { checkPanic(t, c, consoleLatePanic, "a handler") })
}

// TestHandleConsole_Goexit: a handler that ends its goroutine has returned.
func TestHandleConsole_Goexit(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		ch := make(chan heard, 8)
		stop := m.HandleConsole(func(e ConsoleEvent) {
			ch <- heard{"", e}
			runtime.Goexit()
		})
		for range 3 {
			raise(t, ConsoleControlC)
			receive(t, m, ch)
		}
		running := consoles.tell(ConsoleClose)
		receive(t, m, ch)
		running.Wait()
		stop()
	})
}

// TestHandleConsole_ComeAndGo installs and stops handlers while events come: who is there from before an event until after it hears of
// it once, and nobody afterwards.
func TestHandleConsole_ComeAndGo(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		var wg sync.WaitGroup
		over := make(chan bool)
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					var gone atomic.Bool
					stop := m.HandleConsole(func(ConsoleEvent) {
						if gone.Load() {
							t.Error("called after stop")
						}
					})
					runtime.Gosched()
					stop()
					gone.Store(true)
				}
			})
		}
		ch := make(chan heard, 8)
		hear(t, m, "there", ch)
		for i := range scaled(500) {
			e := consoleEventsHere[i%2]
			raise(t, e)
			if got := receive(t, m, ch); got != (heard{"there", e}) {
				t.Fatalf("%d: %v", i, got)
			}
		}
		close(over)
		wg.Wait()
		if len(ch) != 0 {
			t.Error("an event came twice")
		}
	})
}

var consoleDefaultChild = child("console default", func() error {
	m, err := Default()
	if err != nil {
		return err
	}
	ch := make(chan ConsoleEvent)
	stop := m.HandleConsole(func(e ConsoleEvent) { ch <- e })
	signals := make(chan os.Signal, 1)
	for i := range 2 {
		if err := raiseReal(); err != nil {
			return err
		}
		if e := <-ch; e != ConsoleControlC {
			return fmt.Errorf("heard %v", e)
		}
		if i == 1 {
			<-signals // which os/signal passes on as well
		}
		signal.Notify(signals, os.Interrupt)
	}
	signal.Stop(signals)
	stop()
	fmt.Println("stopped")
	if err := raiseReal(); err != nil {
		return err
	}
	<-time.After(patience.Limit) // until the system ends it
	return errors.New("it did not end")
})

// TestHandleConsole_DefaultAfterwards: a process of its own gets a real Ctrl-C, which the handler gets, and another when there is none any
// more, which ends it.
func TestHandleConsole_DefaultAfterwards(t *testing.T) {
	forBackends(t, func(t *testing.T, env string) {
		cmd := childCommand(t, consoleDefaultChild, env)
		out, err := cmd.CombinedOutput()
		if err == nil || !endedByControlC(cmd.ProcessState) || !slices.Contains([]string{"stopped\n", "stopped\r\n"}, string(out)) {
			t.Errorf("%v, %q", err, out)
		}
	})
}
