package ringport

import (
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// ConsoleEvent is what a console, or the system that is about to end the process, says to it. See [Manager.HandleConsole].
type ConsoleEvent uint8

// The events, with what they are on each system.
const (
	ConsoleControlC ConsoleEvent = iota // Ctrl-C. Unix: SIGINT; Windows: CTRL_C_EVENT
	ConsoleBreak                        // Ctrl-Break, Ctrl-\ on Unix. SIGQUIT; CTRL_BREAK_EVENT
	ConsoleClose                        // the terminal or the console's window is closed. SIGHUP; CTRL_CLOSE_EVENT
	ConsoleLogoff                       // a user logs off. Unix: never; Windows: CTRL_LOGOFF_EVENT
	ConsoleShutdown                     // the system shuts down, or somebody wants the process to end. SIGTERM; CTRL_SHUTDOWN_EVENT
)

var consoleEventNames = [...]string{ConsoleControlC: "Ctrl-C", ConsoleBreak: "Ctrl-Break", ConsoleClose: "close",
	ConsoleLogoff: "logoff", ConsoleShutdown: "shutdown"}

// String is the event's name: "Ctrl-C", "Ctrl-Break", "close", "logoff" or "shutdown".
func (e ConsoleEvent) String() string {
	if int(e) < len(consoleEventNames) {
		return consoleEventNames[e]
	}
	return "console event " + strconv.Itoa(int(e))
}

// ends reports whether the system ends the process after e when the handlers have returned (Windows).
func (e ConsoleEvent) ends() bool { return e >= ConsoleClose }

// HandleConsole has f called with each console event from now on, on a worker's goroutine (threaded) or in Step (caller-driven), until
// stop is called or the manager is closed. While there is a handler in the process none of these events ends it by itself, but for
// what Windows does after the last three.
//
// Every handler of every manager hears of every event, the newest first. One handler's calls come one after the other, in the order
// of the events; one that does not return holds up no other handler, except on a caller-driven manager, whose owner it blocks. A
// panic in f ends the process, as in any callback; it says so first, on Windows too, since f has not returned.
//
// On Windows the process ends after ConsoleClose, ConsoleLogoff and ConsoleShutdown: when all handlers have returned, so that
// returning from f says that what had to be done is done, or else when the system has waited long enough, which is 5 seconds for a
// window that is closed. On Unix the process goes on; f ends it, if it should end.
//
// Package os/signal may be used beside it, and sees the same events: its channels get what they would without a handler. On Windows
// those for SIGTERM hear of it when the handlers have returned. A signal that is ignored when the first handler of the process is
// installed, such as SIGHUP under nohup, stays ignored. Where several of the same signal come before the system has delivered the
// first (Unix), they are one event; Windows makes an event of each.
//
// Stop takes the handler away, and waits until f is not running, unless it is called from f. Afterwards f is not called any more. It may be
// called more than once; on a caller-driven manager it is the owner's to call. On a closed manager HandleConsole does nothing. It panics if
// f is nil. See signal(7), SetConsoleCtrlHandler.
func (m *Manager) HandleConsole(f func(ConsoleEvent)) (stop func()) {
	if f == nil {
		panic("ringport: HandleConsole with a nil function")
	}
	h := &consoleHandler{m: m, f: f}
	h.idle.L = &h.mu
	h.task = h.run
	consoles.add(h)
	return h.stop
}

// consoles are the handlers of all managers, oldest first. They are the process's, as the console and what listens to it are.
var consoles consoleHandlers

type consoleHandlers struct {
	mu       sync.Mutex // before a handler's
	all      []*consoleHandler
	listener *consoleListener // there is one while there are handlers
}

// add puts h in, unless its manager is closed: Close takes out what came before it.
func (c *consoleHandlers) add(h *consoleHandler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.m.closing() {
		return
	}
	if len(c.all) == 0 {
		c.listener = listenToConsole()
	}
	c.all = append(c.all, h)
}

// remove takes out what gone says. Nobody is waited for but the listener, which never waits for a handler.
func (c *consoleHandlers) remove(gone func(*consoleHandler) bool) {
	c.mu.Lock()
	c.all = slices.DeleteFunc(c.all, func(h *consoleHandler) bool {
		if !gone(h) {
			return false
		}
		h.drop()
		return true
	})
	var last *consoleListener
	if len(c.all) == 0 {
		last, c.listener = c.listener, nil
	}
	if last != nil {
		last.stop() // under the lock: the next listener must not hear what this one does
	}
	c.mu.Unlock()
	if last != nil {
		last.wait()
	}
}

// end takes out m's handlers, for Close.
func (c *consoleHandlers) end(m *Manager) {
	c.remove(func(h *consoleHandler) bool { return h.m == m })
}

// tell passes e to all handlers. It returns what counts those that have not yet returned, nil if there are none.
func (c *consoleHandlers) tell(e ConsoleEvent) (running *sync.WaitGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) == 0 {
		return nil
	}
	running = new(sync.WaitGroup)
	for _, h := range slices.Backward(c.all) {
		h.push(delivery{e, running})
	}
	return running
}

// consoleHandler is one call of HandleConsole. Its events wait in queue; while there are any, or one is handled, its task is the loop's.
type consoleHandler struct {
	m    *Manager
	f    func(ConsoleEvent)
	task func() // run

	mu        sync.Mutex
	idle      sync.Cond // running has become false
	queue     fifo[delivery]
	posted    bool // the loop has the task, or will get it again
	running   bool
	goroutine int64 // while running: where
}

// delivery is an event for one handler.
type delivery struct {
	event   ConsoleEvent
	running *sync.WaitGroup
}

// push queues d for the handler.
func (h *consoleHandler) push(d delivery) {
	d.running.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue.push(d)
	if !h.posted {
		h.posted = true
		h.m.post(h.task)
	}
}

// run handles one event, in the loop.
func (h *consoleHandler) run() {
	h.mu.Lock()
	d, ok := h.queue.pop()
	if !ok { // dropped meanwhile
		h.posted = false
		h.mu.Unlock()
		return
	}
	h.running, h.goroutine = true, goroutineNumber()
	h.mu.Unlock()
	returned := false
	defer func() { h.ran(d, returned) }() // also if f calls runtime.Goexit
	h.f(d.event)
	returned = true
}

// ran ends run. What is left goes to the end of the loop's list: other callbacks have their turn.
func (h *consoleHandler) ran(d delivery, returned bool) {
	if returned || !panicking() { // else whoever waits for the handlers would end the process before the panic has said what it is about
		d.running.Done()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = false
	h.idle.Broadcast()
	if h.posted = !h.queue.empty(); h.posted {
		h.m.post(h.task)
	}
}

// panicking reports whether a panic runs the deferred function that asks, and not runtime.Goexit. To recover the panic would tell too, and
// would change what it says.
func panicking() bool {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	for f, more := frames.Next(); ; f, more = frames.Next() {
		switch f.Function {
		case "runtime.gopanic":
			return true
		case "runtime.Goexit":
			return false
		}
		if !more {
			return false
		}
	}
}

// drop forgets what is queued.
func (h *consoleHandler) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for d, ok := h.queue.pop(); ok; d, ok = h.queue.pop() {
		d.running.Done()
	}
}

// stop is what HandleConsole returns. On a caller-driven manager f can only be running below the caller.
func (h *consoleHandler) stop() {
	consoles.remove(func(other *consoleHandler) bool { return other == h })
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.m.shared || h.running && h.goroutine == goroutineNumber() {
		return
	}
	for h.running {
		h.idle.Wait()
	}
}
