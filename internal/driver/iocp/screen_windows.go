package iocp

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// screen is a console that is written to. WriteFile would take bytes for characters of the console's code page, which is hardly ever UTF-8; so, as
// os.File does, what is written is taken for UTF-8, and WriteConsole gets it as UTF-16.
type screen struct {
	turn  chan struct{} // whose turn it is to write sends to it, and receives when it is over
	begun []byte        // of a character whose end is to come
	chars []uint16
}

// screenChars is how much is written at a time. WriteConsole fails with more than it has room for; os.File writes 16,000.
const screenChars = 8192

func newScreen() *screen { return &screen{turn: make(chan struct{}, 1)} }

// writeConsole writes b's buffers.
func (d *Driver) writeConsole(b *block) (n int, err error) {
	s := b.screen
	if !d.acquire(b, s.turn) {
		return 0, driver.ErrCanceled
	}
	defer func() { <-s.turn }()
	if !d.enter(b) {
		return 0, driver.ErrCanceled
	}
	defer d.leave(b)
	bufs := [][]byte{b.r.Buf}
	if b.r.Ext != nil && b.r.Ext.Vec != nil {
		bufs = b.r.Ext.Vec
	}
	for _, p := range bufs {
		for len(p) > 0 {
			used := s.convert(p)
			if err := s.write(b.h); err != nil {
				s.begun = s.begun[:0]
				return n, err
			}
			p = p[used:]
			if n += used; d.isCanceling(b) {
				return n, nil
			}
		}
	}
	return n, nil
}

// convert makes chars of p, as far as there is room, and reports how many bytes that were. It keeps the beginning of a character.
func (s *screen) convert(p []byte) (used int) {
	if s.chars == nil {
		s.chars = make([]uint16, 0, screenChars)
	}
	s.chars = s.chars[:0]
	for used < len(p) && len(s.chars) < screenChars-utf8.UTFMax {
		if len(s.begun) == 0 && utf8.FullRune(p[used:]) {
			r, size := utf8.DecodeRune(p[used:])
			s.chars = utf16.AppendRune(s.chars, r)
			used += size
			continue
		}
		s.begun = append(s.begun, p[used])
		used++
		for len(s.begun) > 0 && utf8.FullRune(s.begun) { // one, or several that are wrong
			r, size := utf8.DecodeRune(s.begun)
			s.chars = utf16.AppendRune(s.chars, r)
			s.begun = s.begun[:copy(s.begun, s.begun[size:])]
		}
	}
	return used
}

// write writes chars.
func (s *screen) write(h windows.Handle) error {
	for chars := s.chars; len(chars) > 0; {
		var n uint32
		if err := windows.WriteConsole(h, &chars[0], uint32(len(chars)), &n, nil); err != nil {
			return err
		}
		chars = chars[n:]
	}
	return nil
}
