// Package arrival tells a goroutine that something has arrived at a socket, by one registration that lasts as long as the socket: epoll(7),
// edge-triggered. So a wait costs no system call, and ending one neither.
package arrival

import "sync/atomic"

// Socket is a registered socket. Mark, Due, Took and Expect are for one goroutine at a time, the reader; the others are anybody's.
type Socket struct {
	state atomic.Uint32
	woken chan error // one value for each time that state leaves awaited

	dry    bool        // the reader's: nothing was left when it last received, unless state says that more has arrived since
	stream bool        // a stream that is dry when a receive was not filled
	signs  atomic.Bool // of an end, an error or urgent data, which do not fill a receive either
}

// The states of a Socket. Whoever changes awaited to another one owes the reader a value.
const (
	quiet   uint32 = iota // nothing has arrived since the last Due
	arrived               // something has
	awaited               // nothing has, and the reader waits
)

func newSocket(stream bool) *Socket {
	return &Socket{woken: make(chan error, 1), stream: stream}
}

// Due reports whether there may be something to receive, which the caller must try then. It stays so until Took says that nothing was left:
// the end of a stream and an error are no reason to believe that, and no edge follows them.
func (s *Socket) Due() bool {
	if s.dry && s.state.Load() == quiet {
		return false
	}
	s.dry = false
	s.state.Store(quiet) // what arrives from here on may be received in this try, or else shows
	return true
}

// Took says what a receive into size bytes has given: n bytes, none if it would have had to wait.
//
// A short receive of TCP has taken all that there was, and what arrives later is an edge of its own (epoll(7), questions and answers). What
// ends a receive early all the same shows in the events of an edge before it, or by an edge after it.
func (s *Socket) Took(n, size int) {
	s.dry = n == 0 || n < size && s.stream && !s.signs.Load()
}

// Expect makes the next arrival, or End, put a value into Woken. It reports false if something has arrived since Due.
func (s *Socket) Expect() bool { return s.state.CompareAndSwap(quiet, awaited) }

// Waits reports whether the reader does, from an Expect that was true until an arrival or End.
func (s *Socket) Waits() bool { return s.state.Load() == awaited }

// Woken gets one value after each Expect that was true: nil, or what End was called with.
func (s *Socket) Woken() <-chan error { return s.woken }

// End ends the wait of the reader if it waits.
func (s *Socket) End(cause error) {
	if s.state.CompareAndSwap(awaited, quiet) {
		s.woken <- cause
	}
}

// arrive is what an edge does.
func (s *Socket) arrive() {
	if s.state.Swap(arrived) == awaited {
		s.woken <- nil
	}
}
