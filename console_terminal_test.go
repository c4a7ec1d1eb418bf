//go:build linux || windows

package ringport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ringport/ringport/internal/clock"
	"github.com/ringport/ringport/internal/patience"
)

// atTerminal is in a child process that has a terminal as its standard input, and tells its parent, which is package terminaltest's Talk,
// what to type there.
type atTerminal struct {
	m      *Manager
	rounds int
	events chan ConsoleEvent
}

// terminalChild is what internal/winetest calls it, too.
const terminalChild = "terminal"

var _ = child(terminalChild, func() error {
	m, err := Default()
	if err != nil {
		return err
	}
	rounds, err := strconv.Atoi(os.Getenv("RINGPORT_TEST_ROUNDS"))
	if err != nil {
		return err
	}
	known := goroutines()
	a := &atTerminal{m, rounds, make(chan ConsoleEvent, 8)}
	stop := m.HandleConsole(func(e ConsoleEvent) { a.events <- e })
	if err := errors.Join(a.givesUp("lines", "|", enterIsRead), a.interrupted()); err != nil {
		return err
	}
	threads := threadsHere()
	restore, err := makeRaw(Handle(syscall.Stdin))
	if err != nil {
		return err
	}
	if err := errors.Join(a.givesUp("raw", "", ""), a.typed("\x01", "\x01"), restore(), a.typed("bye|", "bye"+enterIsRead)); err != nil {
		return err
	}
	stop()
	if err := patience.Until(func() error {
		if s := m.Stats(); s.InFlight != 0 {
			return fmt.Errorf("%+v", s)
		}
		const runtimes = 8 // the Go runtime may have started some since
		if n := threadsHere(); n > threads+runtimes {
			return fmt.Errorf("%d threads, %d before", n, threads)
		}
		return goroutinesOf(known, "consoleListener", "iocp.(*Driver).work(", "iocp.(*Driver).interrupt(")
	}); err != nil {
		return err
	}
	if canHangUp {
		return a.hangUp()
	}
	return nil
})

// typed has text typed, with | for Enter, and wants the next read of standard input to give want.
func (a *atTerminal) typed(text, want string) error {
	fmt.Fprintln(os.Stderr, "type:"+text)
	return a.reads(want)
}

func (a *atTerminal) reads(want string) error {
	buf := make([]byte, 100)
	n, err := Stdin().Read(buf)
	if string(buf[:n]) != want || err != nil {
		return fmt.Errorf("read %q, %v instead of %q", buf[:n], err, want)
	}
	return nil
}

// givesUp gives up reads, and reads what is typed next. How long the reads took to give up is said.
func (a *atTerminal) givesUp(mode, enter, isRead string) error {
	var late []time.Duration
	for i := range a.rounds {
		after := time.Duration(rand.IntN(2000)) * time.Microsecond
		ctx, cancel := context.WithTimeout(context.Background(), after)
		begun := clock.Nanos()
		n, err := Stdin().WithContext(ctx).Read(make([]byte, 100))
		late = append(late, time.Duration(clock.Nanos()-begun)-after)
		cancel()
		if n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s, round %d: a read that was given up: %d, %v", mode, i, n, err)
		}
		char := string(rune('a' + i%26))
		if err := a.typed(char+enter, char+isRead); err != nil {
			return fmt.Errorf("%s, round %d: %w", mode, i, err)
		}
	}
	slices.Sort(late)
	fmt.Fprintf(os.Stderr, "say:%s: %d reads came back %v after their context's end (median), %v (99%%), %v (longest)\n", mode, len(late),
		late[len(late)/2], late[len(late)*99/100], late[len(late)-1])
	return nil
}

// interrupted has Ctrl-C typed while a read is blocked, which goes on, and once more with a handler that ends the read.
func (a *atTerminal) interrupted() error {
	done := make(chan error, 1)
	buf := make([]byte, 100)
	go func() {
		n, err := Stdin().Read(buf)
		if err == nil && !strings.HasSuffix(string(buf[:n]), "kept"+enterIsRead) {
			err = fmt.Errorf("read %q", buf[:n])
		}
		done <- err
	}()
	whileInFlight(a.m, func() { fmt.Fprintln(os.Stderr, "type:gone\x03") })
	if e := <-a.events; e != ConsoleControlC {
		return fmt.Errorf("heard %v", e)
	}
	fmt.Fprintln(os.Stderr, "type:kept|")
	if err := <-done; err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer a.m.HandleConsole(func(ConsoleEvent) { cancel() })()
	fmt.Fprintln(os.Stderr, "type:\x03")
	if n, err := Stdin().WithContext(ctx).Read(make([]byte, 100)); n != 0 || !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a read that Ctrl-C ends: %d, %v", n, err)
	}
	<-a.events
	return a.typed("after|", "after"+enterIsRead)
}

// hangUp has the terminal closed, and ends where the process would be ended.
func (a *atTerminal) hangUp() error {
	a.m.HandleConsole(func(e ConsoleEvent) {
		fmt.Fprintln(os.Stderr, "say:heard "+e.String())
		os.Exit(0)
	})
	fmt.Fprintln(os.Stderr, "hang up:")
	<-time.After(patience.Limit)
	return errors.New("heard nothing")
}
