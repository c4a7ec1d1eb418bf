package ringport

import (
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32/consoletest"
	"github.com/ringport/ringport/internal/win32/win32test"
)

// consoleEventsHere are the events that there are on this system, and consoleSignalsHere what package os/signal makes of them.
var (
	consoleEventsHere  = []ConsoleEvent{ConsoleControlC, ConsoleBreak, ConsoleClose, ConsoleLogoff, ConsoleShutdown}
	consoleSignalsHere = []os.Signal{os.Interrupt, syscall.SIGTERM}
)

func signalIndex(e ConsoleEvent) int { return 0 }

// passesOn reports whether package os/signal hears of e from raise, which calls one handler alone: never.
func passesOn(e ConsoleEvent) bool { return false }

// eventNumber is the system's number for e.
func eventNumber(e ConsoleEvent) uint32 {
	return [...]uint32{windows.CTRL_C_EVENT, windows.CTRL_BREAK_EVENT, windows.CTRL_CLOSE_EVENT, windows.CTRL_LOGOFF_EVENT,
		windows.CTRL_SHUTDOWN_EVENT}[e]
}

// raise does to the handler what the system does, without what the system does afterwards.
func raise(t *testing.T, e ConsoleEvent) { raiseHere(e) }

func raiseHere(e ConsoleEvent) error {
	if e.ends() { // it returns when the handlers have
		go controlHandler(eventNumber(e))
	} else {
		controlHandler(eventNumber(e))
	}
	return nil
}

// TestHazard27ReturnIsTheAcknowledgement: after an event that ends the process, the system's call returns when all handlers have returned, or
// will not be called any more; after others at once. The system is then told to ask the next.
func TestHazard27ReturnIsTheAcknowledgement(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for _, e := range consoleEventsHere {
			m := open(t, c)
			begun, release := make(chan bool), make(chan bool)
			m.HandleConsole(func(ConsoleEvent) {})
			last := m.HandleConsole(func(ConsoleEvent) {
				if m.shared {
					begun <- true
					<-release
				}
			})
			answered := make(chan uintptr, 1)
			go func() {
				answered <- controlHandler(eventNumber(e))
				m.Wake()
			}()
			switch {
			case !e.ends():
				if <-answered != 0 {
					t.Error("the next handler is not asked")
				}
				if m.shared {
					<-begun
					close(release)
				}
			case m.shared:
				<-begun
				select {
				case <-answered:
					t.Errorf("%v: the process would have ended while a handler was running", e)
				case <-time.After(20 * time.Millisecond): // a chance to be wrong
				}
				close(release)
			case e == ConsoleClose:
				if receive(t, m, answered) != 0 {
					t.Error("the next handler is not asked")
				}
				answered <- 0
			default: // nobody will step any more
				last()
				m.Close()
			}
			if e.ends() && <-answered != 0 {
				t.Error("the next handler is not asked")
			}
			m.Close() // and its handlers are gone
		}
	})
}

// raiseReal is Ctrl-C as the system makes it, on a console of this process's own.
func raiseReal() error {
	if err := ownConsole(); err != nil {
		return err
	}
	return consoletest.Interrupt()
}

var ownConsole = sync.OnceValue(consoletest.Alloc)

func endedByControlC(s *os.ProcessState) bool {
	const controlCExit = 0xc000013a // STATUS_CONTROL_C_EXIT
	return s.Sys().(syscall.WaitStatus).ExitCode == controlCExit || wine && s.ExitCode() == controlCExit&0xff
}

// enterIsRead is what a read gives for Enter.
const enterIsRead = "\r\n"

// canHangUp: Wine's console ends with its terminal and tells nobody.
const canHangUp = false

// makeRaw turns lines, echo and Ctrl-C off, and sequences for keys on, as golang.org/x/term does.
func makeRaw(h Handle) (restore func() error, err error) {
	const cooked = windows.ENABLE_LINE_INPUT | windows.ENABLE_ECHO_INPUT | windows.ENABLE_PROCESSED_INPUT
	var mode uint32
	if err := windows.GetConsoleMode(windows.Handle(h), &mode); err != nil {
		return nil, err
	}
	raw := mode&^cooked | windows.ENABLE_VIRTUAL_TERMINAL_INPUT
	return func() error { return windows.SetConsoleMode(windows.Handle(h), mode) }, windows.SetConsoleMode(windows.Handle(h), raw)
}

// threadsHere is how many threads this process has.
func threadsHere() int { return win32test.Threads() }
