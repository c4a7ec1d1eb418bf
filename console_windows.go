package ringport

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
)

// consoleEvents are the events by the numbers that the system gives them.
var consoleEvents = map[uint32]ConsoleEvent{
	windows.CTRL_C_EVENT:        ConsoleControlC,
	windows.CTRL_BREAK_EVENT:    ConsoleBreak,
	windows.CTRL_CLOSE_EVENT:    ConsoleClose,
	windows.CTRL_LOGOFF_EVENT:   ConsoleLogoff,
	windows.CTRL_SHUTDOWN_EVENT: ConsoleShutdown,
}

// consoleListener keeps the runtime from ending the process, see controlHandler.
type consoleListener struct{ interrupts chan os.Signal }

// listenToConsole makes one.
func listenToConsole() *consoleListener {
	installControlHandler()
	l := &consoleListener{make(chan os.Signal, 1)}
	signal.Notify(l.interrupts, os.Interrupt) // nobody reads them
	return l
}

// stop has the runtime do what it does without a handler.
func (l *consoleListener) stop() { signal.Stop(l.interrupts) }

func (l *consoleListener) wait() {}

// installControlHandler installs controlHandler for good. It is never taken away: the system holds a lock while a handler runs, so that one
// which waits for a callback that takes it away would wait for ever. Nor can its callback be freed. The system fails if it has no memory.
var installControlHandler = sync.OnceFunc(func() {
	if err := win32.SetConsoleCtrlHandler(windows.NewCallback(controlHandler), true); err != nil {
		panic("ringport: SetConsoleCtrlHandler: " + err.Error())
	}
})

// controlHandler is called by the system with each event, on a thread that it makes for it. The system asks the handler that was
// installed last first. This one says that it has not handled the event, so that the system asks those before it too, the Go runtime's last.
// The runtime passes Ctrl-C and Ctrl-Break on to package os/signal, and says that it has handled them since somebody there wants them:
// the listener at least. The others it leaves to the system, unless the program wants SIGTERM; either way the process ends.
func controlHandler(event uint32) uintptr {
	e, ok := consoleEvents[event]
	if !ok {
		return 0
	}
	if running := consoles.tell(e); running != nil && e.ends() {
		running.Wait()
	}
	return 0
}
