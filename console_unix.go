//go:build unix

package ringport

import (
	"os"
	"os/signal"
	"syscall"
)

// consoleSignals are the events' signals; there is none for ConsoleLogoff.
var consoleSignals = map[os.Signal]ConsoleEvent{
	syscall.SIGINT:  ConsoleControlC,
	syscall.SIGQUIT: ConsoleBreak,
	syscall.SIGHUP:  ConsoleClose,
	syscall.SIGTERM: ConsoleShutdown,
}

// consoleListener is a goroutine that reads signals from package os/signal, which passes each to all who want it.
type consoleListener struct {
	signals chan os.Signal
	over    chan struct{} // no more signals come
	ended   chan struct{} // the goroutine has ended
}

// listenToConsole starts one.
func listenToConsole() *consoleListener {
	// Os/signal throws away what finds no room. The reader never blocks, and equal signals that the runtime has not yet passed on are
	// one: there cannot be many.
	l := &consoleListener{make(chan os.Signal, 64), make(chan struct{}), make(chan struct{})}
	for s := range consoleSignals {
		if !signal.Ignored(s) {
			signal.Notify(l.signals, s)
		}
	}
	go l.listen()
	return l
}

func (l *consoleListener) listen() {
	defer close(l.ended)
	for {
		select {
		case s := <-l.signals:
			consoles.tell(consoleSignals[s])
		case <-l.over:
			return
		}
	}
}

// stop makes it deaf.
func (l *consoleListener) stop() {
	signal.Stop(l.signals)
	close(l.over)
}

// wait waits until it has ended. Consoles.mu is not held.
func (l *consoleListener) wait() { <-l.ended }
