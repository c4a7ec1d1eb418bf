package ringport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/clock"
	"github.com/ringport/ringport/internal/patience"
	"github.com/ringport/ringport/internal/win32"
	"github.com/ringport/ringport/internal/win32/consoletest"
)

// keyboard is a console of the process's own, typed on by the process itself.
type keyboard struct {
	m *Manager
	f *File
	h windows.Handle

	cooked func() error // ends raw mode; nil: there is none
}

// onKeyboard runs f with a manager in each mode, in a child process.
func onKeyboard(f func(k *keyboard) error) error {
	if err := ownConsole(); err != nil {
		return err
	}
	for _, callerDriven := range []bool{false, true} {
		runtime.LockOSThread() // for the caller-driven one; the child does nothing else
		if err := onKeyboardOf(Config{CallerDriven: callerDriven}, f); err != nil {
			return fmt.Errorf("%s: %w", modeName(callerDriven), err)
		}
	}
	return nil
}

func onKeyboardOf(c Config, f func(k *keyboard) error) error {
	m, err := New(c)
	if err != nil {
		return err
	}
	k := &keyboard{m: m}
	if k.h, err = consoletest.Keyboard(); err != nil {
		return err
	}
	if k.f, err = m.NewFile(Handle(k.h), "CONIN$"); err != nil {
		return err
	}
	if err := f(k); err != nil {
		return err
	}
	if err := k.f.Close(); err != nil {
		return err
	}
	return m.Close()
}

// raw turns raw mode on or off.
func (k *keyboard) raw(on bool) error {
	var err error
	switch {
	case on && k.cooked == nil:
		k.cooked, err = makeRaw(Handle(k.h))
	case !on && k.cooked != nil:
		err = k.cooked()
		k.cooked = nil
	}
	return err
}

// givesUp reads until a deadline that comes first, and reports how late the read came back.
func (k *keyboard) givesUp(after time.Duration) (late time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	begun := clock.Nanos()
	n, err := k.f.WithContext(ctx).Read(make([]byte, 100))
	late = time.Duration(clock.Nanos()-begun) - after
	if n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		return late, fmt.Errorf("a read that was given up: %d, %v", n, err)
	}
	return late, nil
}

// reads wants the next read, with a buffer of that many bytes, to give text, and an end of file if that is empty.
func (k *keyboard) reads(size int, text string) error {
	buf := make([]byte, size)
	n, err := k.f.Read(buf)
	if string(buf[:n]) != text || err != nil && (err != io.EOF || text != "") || err == nil && text == "" {
		return fmt.Errorf("read %q, %v instead of %q", buf[:n], err, text)
	}
	return nil
}

// beTyping does each of steps: what begins with a word and a colon does that, the rest is typed.
func (k *keyboard) beTyping(steps ...string) error {
	for i, step := range steps {
		what, text, found := strings.Cut(step, ":")
		if !found {
			what, text = "type", step
		}
		var err error
		switch what {
		case "type":
			err = consoletest.Type(k.h, text)
		case "end": // a key without a character
			err = consoletest.Type(k.h, "", win32.EndKey)
		case "left":
			err = consoletest.Type(k.h, "", 0x25) // VK_LEFT
		case "half": // of a surrogate pair
			var half uint64
			half, err = strconv.ParseUint(text, 16, 16)
			err = errors.Join(err, consoletest.TypeUTF16(k.h, []uint16{uint16(half)}))
		case "focus":
			err = win32.WriteConsoleInput(k.h, win32.InputRecord{Type: 0x10}) // FOCUS_EVENT
		case "raw":
			err = k.raw(true)
		case "lines":
			err = k.raw(false)
		case "give up":
			_, err = k.givesUp(20 * time.Millisecond)
		case "read":
			err = k.reads(100, text)
		case "byte":
			err = k.reads(1, text)
		case "eof":
			err = k.reads(100, "")
		case "readv":
			a, b := make([]byte, 2), make([]byte, 10)
			var n int
			if n, err = k.f.Readv([][]byte{a, b}); err == nil && string(a)+string(b[:max(n-2, 0)]) != text {
				err = fmt.Errorf("read %q and %q instead of %q", a, b[:n-2], text)
			}
		default:
			err = errors.New("what is that?")
		}
		if err != nil {
			return fmt.Errorf("step %d, %q: %w", i, step, err)
		}
	}
	return nil
}

// consoleStories are what is typed, and what reads of it give.
var consoleStories = map[string][]string{
	"lines":               {"hello\r", "read:hello\r\n", "\r", "read:\r\n"},
	"typed ahead":         {"one\rtwo\rthree\r", "read:one\r\n", "read:two\r\n", "read:three\r\n"},
	"small buffers":       {"aä€\r", "byte:a", "byte:\xc3", "byte:\xa4", "byte:\xe2", "byte:\x82", "byte:\xac", "byte:\r", "byte:\n"},
	"several buffers":     {"héllo\r", "readv:héllo\r\n"},
	"beyond 16 bits":      {"a😀b\r", "read:a😀b\r\n"},
	"Ctrl-Z":              {"\x1a\r", "eof:", "more\r", "read:more\r\n"},
	"Ctrl-Z in a line":    {"ab\x1acd\r", "read:ab", "eof:", "read:cd\r\n"},
	"given up":            {"give up:", "hello\r", "read:hello\r\n"},
	"given up in a line":  {"ab", "give up:", "give up:", "cd", "give up:", "e\r", "read:abcde\r\n"},
	"corrected":           {"ab", "give up:", "\b\bcd\r", "read:cd\r\n"},
	"in the middle":       {"abcd", "left:", "left:", "give up:", "ef\r", "read:abcdef\r\n"},
	"other records":       {"focus:", "give up:", "a", "focus:", "end:", "give up:", "focus:", "\r", "focus:", "read:a\r\n", "give up:"},
	"typed wake-up":       {"a\x1eb\r", "read:a\x1eb\r\n", "a\x1e", "give up:", "b\r", "read:a\x1eb\r\n"},
	"raw":                 {"raw:", "a", "read:a", "\r\x03\x1a", "read:\r\x03\x1a", "give up:", "b", "read:b"},
	"raw, given up":       {"raw:", "give up:", "focus:", "give up:", "x", "read:x", "give up:", "yz", "byte:y", "byte:z"},
	"raw halves":          {"raw:", "half:d83d", "give up:", "half:de00", "read:😀", "half:d83d", "give up:", "a", "read:\ufffda"},
	"raw after lines":     {"ab", "give up:", "raw:", "read:ab", "c", "read:c"},
	"lines after raw":     {"raw:", "give up:", "lines:", "ab\r", "read:ab\r\n", "give up:"},
	"rest of a line, raw": {"ab\r", "byte:a", "raw:", "read:b\r\n"},
}

var consoleStoriesChild = child("console stories", func() error {
	names := make([]string, 0, len(consoleStories))
	for name := range consoleStories {
		names = append(names, name)
	}
	slices.Sort(names)
	return onKeyboard(func(k *keyboard) error {
		var errs []error
		for _, name := range names {
			if err := errors.Join(k.raw(false), k.beTyping(consoleStories[name]...)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				break // what was not read would be the next one's
			}
		}
		return errors.Join(errs...)
	})
})

// TestConsole_Reads: what is typed is read, given up or not, byte by byte, in line mode and raw.
func TestConsole_Reads(t *testing.T) { runChild(t, consoleStoriesChild) }

var consoleRoundsChild = child("console rounds", func() error {
	return onKeyboard(func(k *keyboard) error {
		for _, raw := range []bool{false, true} {
			if err := k.raw(raw); err != nil {
				return err
			}
			var late []time.Duration
			for i := range 250 {
				partial, enter := "", "\r\n"
				if raw {
					enter = ""
				} else if i%3 == 0 {
					partial = fmt.Sprint(i)
				}
				if partial != "" {
					if err := consoletest.Type(k.h, partial); err != nil {
						return err
					}
				}
				d, err := k.givesUp(time.Duration(rand.IntN(2000)) * time.Microsecond)
				if err != nil {
					return fmt.Errorf("round %d: %w", i, err)
				}
				late = append(late, d)
				typed := string(rune('a' + i%26))
				if err := consoletest.Type(k.h, typed+strings.TrimSuffix(enter, "\n")); err != nil {
					return err
				}
				if err := k.reads(100, partial+typed+enter); err != nil {
					return fmt.Errorf("round %d: %w", i, err)
				}
			}
			slices.Sort(late)
			fmt.Printf("%s, raw %t: reads came back %v after their context's end (median), %v (99%%), %v (longest)\n",
				modeName(!k.m.shared), raw, late[len(late)/2], late[len(late)*99/100], late[len(late)-1])
		}
		return k.raw(false)
	})
})

// TestHazard26ConsoleGivenUp gives up 1000 reads of a console, 250 in each mode. What is typed next, and what was typed of the line before, comes to the
// next read. How long a read takes to give up is printed.
func TestHazard26ConsoleGivenUp(t *testing.T) { t.Log(runChild(t, consoleRoundsChild)) }

var consoleRaceChild = child("console race", func() error {
	return onKeyboard(func(k *keyboard) error {
		got, want := "", ""
		for i := range 300 {
			line := fmt.Sprintf("line %d\r", i)
			want += line + "\n"
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() {
				done <- consoletest.Type(k.h, line)
			}()
			go cancel()
			buf := make([]byte, 100)
			for len(got) < len(want) {
				n, err := k.f.WithContext(ctx).Read(buf)
				got += string(buf[:n])
				if err != nil && !errors.Is(err, context.Canceled) {
					return err
				}
				ctx = context.Background()
			}
			if err := <-done; err != nil {
				return err
			}
		}
		if got != want {
			return fmt.Errorf("read %q instead of %q", got, want)
		}
		left := make([]win32.InputRecord, 1000)
		n, err := win32.PeekConsoleInput(k.h, left)
		for _, r := range left[:n] {
			if r.KeyDown != 0 {
				return fmt.Errorf("a key is left in the console's input: %+v", r)
			}
		}
		return err
	})
})

// TestConsole_EnterAndGiveUp: a line and the end of a context come at once. The line is read, by this read or the next, once, and no key of ours stays
// in the console's input.
func TestConsole_EnterAndGiveUp(t *testing.T) { runChild(t, consoleRaceChild) }

var consoleReadersChild = child("console readers", func() error {
	if err := ownConsole(); err != nil {
		return err
	}
	return onKeyboardOf(Config{}, func(k *keyboard) error {
		other, err := New(Config{})
		if err != nil {
			return err
		}
		defer other.Close()
		results := make(chan result, 8)
		ops := make([]*Op, 4)
		bufs := make([][]byte, len(ops))
		for i := range ops {
			bufs[i] = make([]byte, 2)
			ops[i] = ptr(func(op *Op) { *op = Read(Handle(k.h), bufs[i], CurrentOffset) })
			m := k.m
			if i == 3 {
				m = other
			}
			if err := m.Start(ops[i], func(op *Op) {
				n, err := op.Result()
				results <- result{n, err}
			}); err != nil {
				return err
			}
		}
		if err := patience.Until(func() error {
			if all := strings.Join(stacks(), "\n"); strings.Count(all, ".readConsole(") < len(ops) || strings.Count(all, ".acquire(") < len(ops)-1 {
				return errors.New("they don't all wait")
			}
			return nil
		}); err != nil {
			return err
		}
		// Those that wait for their turn can be ended as well as the one that has it.
		for i := range 2 {
			k.m.Cancel(ops[i])
			if r := <-results; !errors.Is(r.err, ErrCanceled) {
				return fmt.Errorf("%+v", r)
			}
		}
		if err := consoletest.Type(k.h, "ab\r"); err != nil {
			return err
		}
		for range 2 { // one manager's read gets what the other's has left
			if r := <-results; r.n != 2 || r.err != nil {
				return fmt.Errorf("%+v", r)
			}
		}
		if got := string(bufs[2]) + string(bufs[3]); got != "ab\r\n" && got != "\r\nab" {
			return fmt.Errorf("%q", got)
		}
		// Close ends a read, and leaves no goroutine and what was typed.
		if err := consoletest.Type(k.h, "typed"); err != nil {
			return err
		}
		if err := other.Start(ops[3], func(op *Op) {
			n, err := op.Result()
			results <- result{n, err}
		}); err != nil {
			return err
		}
		if err := other.Close(); err != nil {
			return err
		}
		if r := <-results; !errors.Is(r.err, ErrManagerClosed) {
			return fmt.Errorf("%+v", r)
		}
		if err := patience.Until(func() error { return goroutinesOf(nil, "iocp.(*Driver).work(", "iocp.(*Driver).interrupt(") }); err != nil {
			return err
		}
		if s := k.m.Stats(); s.Threads != 0 {
			return fmt.Errorf("%+v", s)
		}
		if err := consoletest.Type(k.h, "!\r"); err != nil {
			return err
		}
		return k.reads(100, "typed!\r\n")
	})
})

// TestConsole_Readers: several reads, of two managers, take turns, and each can be ended; a manager's Close loses nothing.
func TestConsole_Readers(t *testing.T) { runChild(t, consoleReadersChild) }
