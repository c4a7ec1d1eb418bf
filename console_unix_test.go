//go:build unix

package ringport

import (
	"os"
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

// raise makes e happen to this process.
func raise(t *testing.T, e ConsoleEvent) {
	t.Helper()
	if err := raiseHere(e); err != nil {
		t.Fatal(err)
	}
}

func raiseHere(e ConsoleEvent) error {
	return syscall.Kill(os.Getpid(), consoleSignalsHere[signalIndex(e)].(syscall.Signal))
}

// raiseReal is Ctrl-C as the system makes it.
func raiseReal() error { return raiseHere(ConsoleControlC) }

func endedByControlC(s *os.ProcessState) bool {
	return s.Sys().(syscall.WaitStatus).Signal() == syscall.SIGINT
}
