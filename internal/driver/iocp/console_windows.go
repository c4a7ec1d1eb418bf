package iocp

import (
	"bytes"
	"slices"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// A ReadConsole must not be cancelled. CancelSynchronousIo ends the call, but the console's host goes on with it, and what is typed until
// Enter is lost with the line that it reads for nobody (microsoft/terminal 12143 and 17791; Wine loses the next record). So a read ends
// itself: it is told to end at a control character (CtrlWakeupMask, made for cmd.exe's completion of names), and to end it, that character
// is put into the console's input as a key. The call then returns with what has been typed of the line, which stays on the screen, and
// the next one goes on with it (InitialChars): it can still be edited.

// wakeUp is that character, Ctrl-^. If somebody types one, the line goes on as well, and has it.
const wakeUp = 0x1e

// consoleInput is the console's input. There is one at most in a process, and so one of these: what has been read of it and given to nobody is
// there for whichever manager reads next.
type consoleInput struct {
	turn chan struct{} // whose turn it is to read sends to it, and receives when it is over

	mu     sync.Mutex // before a driver's workers.mu
	inside bool       // the reader is in ReadConsole, where only wakeUp ends it
	wakes  int        // how many are in the console's input

	line  []uint16 // typed, not yet entered, and on the screen
	half  []uint16 // the first half of a surrogate pair, whose other half is to come
	rest  []byte   // entered, and not yet given to anyone
	lines bool     // rest was read in line mode, where Ctrl-Z is the end of the file

	// The call's. Windows takes no more of a line than fits.
	chars   [8192]uint16
	control win32.ReadConsoleControl
}

var theConsole = &consoleInput{turn: make(chan struct{}, 1)}

// readsConsole reports whether b's call is a ReadConsole.
func (b *block) readsConsole() bool { return b.screen != nil && reads(b.r.Kind) }

// readConsole gives b what has been typed, as UTF-8: a line or its rest, or in raw mode what there is. Ctrl-C, if it doesn't end the process, takes
// away what has been typed of the line, as on other systems, and the read goes on.
func (d *Driver) readConsole(b *block) (int, error) {
	c := theConsole
	if !d.acquire(b, c.turn) {
		return 0, driver.ErrCanceled
	}
	defer func() { <-c.turn }()
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if n, ok := c.give(b.r); ok {
			return n, nil
		}
		if d.isCanceling(b) {
			return 0, driver.ErrCanceled
		}
		if err := c.fetch(b.h); err != nil {
			return 0, err
		}
	}
}

// interrupt ends the read of h. Again: it has been asked to end a while ago. A wake-up stays in the input until it is read, so that one is enough,
// unless somebody else has taken it. A reader that is not yet inside looks before it enters.
func (c *consoleInput) interrupt(h windows.Handle, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside && (c.wakes == 0 || again && isEmptyConsole(h)) {
		c.wake()
	}
}

func isEmptyConsole(h windows.Handle) bool {
	var n uint32
	return windows.GetNumberOfConsoleInputEvents(h, &n) == nil && n == 0
}

// isOurs reports whether r is one of the keys that wake presses, which no keyboard does: it has no scan code.
func isOurs(r win32.InputRecord) bool {
	return r.Type == win32.KeyEvent && r.KeyDown != 0 && r.VirtualScanCode == 0 &&
		(r.VirtualKeyCode == 0 && r.Char == wakeUp || r.VirtualKeyCode == win32.EndKey && r.Char == 0)
}

// wake puts wakeUp into the console's input. The End key before it takes the cursor to the end of the line, since Windows forgets what is
// behind the cursor, or gets it wrong (microsoft/terminal 1059). Where keys are read as sequences of characters the cursor can't have moved, and
// the key would be one. CONIN$ may be written to, unlike what the reader may have.
func (c *consoleInput) wake() {
	h, err := windows.CreateFile(conin, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil,
		windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		return // whoever calls will try again
	}
	defer windows.CloseHandle(h)
	keys := [...]win32.InputRecord{
		{Type: win32.KeyEvent, KeyDown: 1, RepeatCount: 1, VirtualKeyCode: win32.EndKey},
		{Type: win32.KeyEvent, KeyDown: 1, RepeatCount: 1, Char: wakeUp},
	}
	send := keys[1:]
	var mode uint32
	if windows.GetConsoleMode(h, &mode) == nil && mode&(windows.ENABLE_LINE_INPUT|windows.ENABLE_VIRTUAL_TERMINAL_INPUT) == windows.ENABLE_LINE_INPUT {
		send = keys[:]
	}
	if win32.WriteConsoleInput(h, send...) == nil {
		c.wakes++
	}
}

var conin = windows.StringToUTF16Ptr("CONIN$")

// fetch has the system read once. The lock is not held meanwhile.
func (c *consoleInput) fetch(h windows.Handle) error {
	var mode uint32
	if err := windows.GetConsoleMode(h, &mode); err != nil {
		return err
	}
	lines := mode&windows.ENABLE_LINE_INPUT != 0
	if !lines && len(c.line) > 0 { // typed when there were lines
		c.enter(c.line, false)
		c.line = c.line[:0]
		return nil
	}
	c.control = win32.ReadConsoleControl{InitialChars: uint32(copy(c.chars[:], c.line)), CtrlWakeupMask: 1 << wakeUp}
	c.inside = true
	c.mu.Unlock()
	n, err := win32.ReadConsole(h, c.chars[:], &c.control)
	c.mu.Lock()
	c.inside = false
	if err != nil {
		return err
	}
	c.line = c.line[:0]
	switch text := c.chars[:n]; {
	case !lines:
		c.enter(c.withoutWakeUps(text), false)
	case n > 0 && text[n-1] == wakeUp:
		if c.wakes > 0 { // else somebody has typed it
			c.wakes--
			text = text[:n-1]
		}
		if len(text) < len(c.chars)-roomToGoOn {
			c.line = append(c.line, text...)
		} else {
			c.enter(text, true)
		}
	default: // nothing at all after Ctrl-C
		c.enter(text, true)
	}
	c.takeBack(h)
	return nil
}

// roomToGoOn is how many characters must be free in the buffer for a read to go on with a line: when there is only room for the end of the line,
// Windows takes nothing but Enter and Backspace, and no wake-up either (ProcessInput of conhost's readDataCooked.cpp).
const roomToGoOn = 8

// withoutWakeUps takes out of text those of wake's that are in it.
func (c *consoleInput) withoutWakeUps(text []uint16) []uint16 {
	return slices.DeleteFunc(text, func(char uint16) bool {
		ours := char == wakeUp && c.wakes > 0
		if ours {
			c.wakes--
		}
		return ours
	})
}

// takeBack takes wake-ups that came too late out of the console's input, so that nobody else gets them. Releases of keys, and the like, that are in
// front of them go to the end. Where keys have been pressed since, all stays in its order, and a later read takes the wake-ups out.
func (c *consoleInput) takeBack(h windows.Handle) {
	if c.wakes == 0 {
		return
	}
	var records [32]win32.InputRecord
	n, err := win32.PeekConsoleInput(h, records[:])
	if err != nil {
		return
	}
	if n == 0 { // somebody has taken or thrown them away
		c.wakes = 0
		return
	}
	last, wakes := 0, 0
	for i, r := range records[:n] {
		switch {
		case r.Type != win32.KeyEvent || r.KeyDown == 0:
		case !isOurs(r):
			return
		default:
			last = i + 1
			if r.Char == wakeUp {
				wakes++
			}
		}
	}
	if last == 0 {
		return
	}
	if n, err = win32.ReadConsoleInput(h, records[:last]); err != nil {
		return
	}
	c.wakes -= min(wakes, c.wakes)
	if others := slices.DeleteFunc(records[:n], isOurs); len(others) > 0 {
		win32.WriteConsoleInput(h, others...)
	}
}

// enter makes rest of text, in UTF-8, when there is none.
func (c *consoleInput) enter(text []uint16, lines bool) {
	if len(c.half) > 0 {
		text = append(c.half, text...)
		c.half = nil
	}
	c.rest, c.lines = c.rest[:0], lines
	for i := 0; i < len(text); i++ {
		r := rune(text[i])
		if utf16.IsSurrogate(r) {
			if i+1 == len(text) && r < 0xdc00 {
				c.half = []uint16{text[i]}
				return
			}
			r = utf8.RuneError
			if i+1 < len(text) {
				if r = utf16.DecodeRune(rune(text[i]), rune(text[i+1])); r != utf8.RuneError {
					i++
				}
			}
		}
		c.rest = utf8.AppendRune(c.rest, r)
	}
}

const ctrlZ = 0x1a

var endOfLine = []byte("\r\n")

// give moves what has been entered to r, and reports whether there was something. As os.File has it, a read ends before Ctrl-Z, and the
// next one at it, with no bytes. The Enter that was pressed after it is part of it.
func (c *consoleInput) give(r *driver.Request) (n int, ok bool) {
	if len(c.rest) == 0 {
		return 0, false
	}
	text := c.rest
	if i := bytes.IndexByte(text, ctrlZ); c.lines && i == 0 {
		c.rest = bytes.TrimPrefix(text[1:], endOfLine)
		return 0, true
	} else if c.lines && i > 0 {
		text = text[:i]
	}
	if r.Ext == nil || r.Ext.Vec == nil {
		n = copy(r.Buf, text)
	} else {
		for _, buf := range r.Ext.Vec {
			n += copy(buf, text[n:])
		}
	}
	c.rest = c.rest[n:]
	return n, true
}
