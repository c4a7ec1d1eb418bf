//go:build unix

package ringport

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// consoleEventsHere are the events that there are on this system, and consoleSignalsHere what package os/signal makes of each.
var (
	consoleEventsHere  = []ConsoleEvent{ConsoleControlC, ConsoleBreak, ConsoleClose, ConsoleShutdown}
	consoleSignalsHere = []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTERM}
)

// signalIndex is which of consoleSignalsHere e comes as.
func signalIndex(e ConsoleEvent) int {
	if e == ConsoleShutdown {
		return 3
	}
	return int(e)
}

// passesOn reports whether package os/signal hears of e while the process goes on.
func passesOn(ConsoleEvent) bool { return true }

// raise makes e happen to this process, and returns when package os/signal has told all who asked. A signal that came later could find that
// nobody asks any more, and end the process.
func raise(t *testing.T, e ConsoleEvent) {
	t.Helper()
	told, s := make(chan os.Signal, 1), consoleSignalsHere[signalIndex(e)]
	if signal.Ignored(s) {
		t.Fatalf("%v is ignored, as a script begins what it starts in its background; go test does not pass that on", s)
	}
	signal.Notify(told, s)
	defer signal.Stop(told)
	if err := raiseHere(e); err != nil {
		t.Fatal(err)
	}
	<-told
}

func raiseHere(e ConsoleEvent) error {
	return syscall.Kill(os.Getpid(), consoleSignalsHere[signalIndex(e)].(syscall.Signal))
}

// raiseReal is Ctrl-C as the system makes it.
func raiseReal() error { return raiseHere(ConsoleControlC) }

func endedByControlC(s *os.ProcessState) bool {
	return s.Sys().(syscall.WaitStatus).Signal() == syscall.SIGINT
}

var ignoredChild = child("ignored signal", func() error {
	m, err := Default()
	if err != nil {
		return err
	}
	ch := make(chan ConsoleEvent, 2)
	defer m.HandleConsole(func(e ConsoleEvent) { ch <- e })()
	if err := errors.Join(raiseHere(ConsoleClose), raiseHere(ConsoleControlC)); err != nil {
		return err
	}
	if e := <-ch; e != ConsoleControlC {
		return fmt.Errorf("heard %v, which was to be ignored", e)
	}
	return nil
})

// ignoringChild becomes ignoredChild with SIGHUP ignored. It is a process of its own because signal.Reset does not undo signal.Ignore: what
// later tests start would ignore it too.
var ignoringChild = child("ignoring", func() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Setenv(childVariable, ignoredChild); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP)
	return syscall.Exec(exe, os.Args, os.Environ())
})

// TestHandleConsole_Ignored: a signal that the process was started to ignore, as by nohup, stays ignored.
func TestHandleConsole_Ignored(t *testing.T) { runChild(t, ignoringChild) }
