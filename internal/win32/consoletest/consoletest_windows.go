// Package consoletest gives a process a console of its own, types on it and reads its screen. It is for tests.
package consoletest

import (
	"os"
	"strings"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
)

var (
	kernel32                   = windows.NewLazySystemDLL("kernel32.dll")
	freeConsole                = kernel32.NewProc("FreeConsole")
	allocConsole               = kernel32.NewProc("AllocConsole")
	readConsoleOutputCharacter = kernel32.NewProc("ReadConsoleOutputCharacterW")
)

// Alloc leaves the console that the process was started on, if any, for a new one. Standard handles that are files or pipes stay. See
// AllocConsole.
func Alloc() error {
	freeConsole.Call() // there may be none
	if ok, _, err := allocConsole.Call(); ok == 0 {
		return os.NewSyscallError("AllocConsole", err)
	}
	return nil
}

// Interrupt is Ctrl-C: it reaches all processes of the console.
func Interrupt() error {
	return os.NewSyscallError("GenerateConsoleCtrlEvent", windows.GenerateConsoleCtrlEvent(windows.CTRL_C_EVENT, 0))
}

// Keyboard opens the console's input, for reading and for Type.
func Keyboard() (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString("CONIN$")
	if err != nil {
		return 0, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, share, nil, windows.OPEN_EXISTING, 0, 0)
	return h, os.NewSyscallError("CreateFile", err)
}

// Type presses and releases the keys for text, in which Enter is \r, and then keys, which have no character.
func Type(keyboard windows.Handle, text string, keys ...uint16) error {
	return TypeUTF16(keyboard, utf16.Encode([]rune(text)), keys...)
}

// TypeUTF16 does the same for text that may end within a character.
func TypeUTF16(keyboard windows.Handle, text []uint16, keys ...uint16) error {
	var records []win32.InputRecord
	press := func(r win32.InputRecord) {
		r.Type, r.KeyDown, r.RepeatCount = win32.KeyEvent, 1, 1
		records = append(records, r)
		r.KeyDown = 0
		records = append(records, r)
	}
	for _, char := range text {
		r := win32.InputRecord{Char: char}
		switch char {
		case '\b':
			r.VirtualKeyCode = 0x08 // VK_BACK
		case '\r':
			r.VirtualKeyCode = 0x0d // VK_RETURN
		}
		press(r)
	}
	for _, key := range keys {
		press(win32.InputRecord{VirtualKeyCode: key})
	}
	return os.NewSyscallError("WriteConsoleInput", win32.WriteConsoleInput(keyboard, records...))
}

// Screen opens what is written to the console, and shown.
func Screen() (*os.File, error) { return os.OpenFile("CONOUT$", os.O_RDWR, 0) }

// Text is what the first lines of a screen show, without the blanks at their ends. See ReadConsoleOutputCharacter.
func Text(screen *os.File, lines int) (string, error) {
	var info windows.ConsoleScreenBufferInfo
	h := windows.Handle(screen.Fd())
	if err := windows.GetConsoleScreenBufferInfo(h, &info); err != nil {
		return "", os.NewSyscallError("GetConsoleScreenBufferInfo", err)
	}
	row := make([]uint16, info.Size.X)
	text := ""
	for y := range lines {
		var n uint32
		// Rule: row and n stay where they are until the call returns; the position is one word, y in its upper half.
		ok, _, err := readConsoleOutputCharacter.Call(uintptr(h), uintptr(unsafe.Pointer(&row[0])), uintptr(len(row)), uintptr(y)<<16,
			uintptr(unsafe.Pointer(&n)))
		if ok == 0 {
			return "", os.NewSyscallError("ReadConsoleOutputCharacter", err)
		}
		text += strings.TrimRight(windows.UTF16ToString(row[:n]), " ") + "\n"
	}
	return text, nil
}
