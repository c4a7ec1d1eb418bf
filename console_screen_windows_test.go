package ringport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringport/ringport/internal/win32/consoletest"
)

var screenChild = child("screen", func() error {
	if err := ownConsole(); err != nil {
		return err
	}
	screen, err := consoletest.Screen()
	if err != nil {
		return err
	}
	defer screen.Close()
	m, err := Default()
	if err != nil {
		return err
	}
	for i, test := range []struct {
		writes [][]string // the buffers of each
		want   string
	}{
		{[][]string{{"plain"}}, "plain"},
		{[][]string{{"grüße €"}}, "grüße €"},
		{[][]string{{"\xe2"}, {"\x82"}, {"\xac!"}}, "€!"},
		{[][]string{{"a\xc3", "\xa4", "b"}, {"", "c"}}, "aäbc"},
		{[][]string{{"wrong \xff\xe2"}, {"x"}}, "wrong \ufffd\ufffdx"},
		{[][]string{{strings.Repeat("\r", 20_000) + "ü" + strings.Repeat("\r", 20_000) + "long"}}, "long"},
	} {
		f, err := m.NewFile(Handle(screen.Fd()), "CONOUT$")
		if err != nil {
			return err
		}
		if _, err := f.WriteString("\r      \r"); err != nil {
			return err
		}
		for _, write := range test.writes {
			var bufs [][]byte
			length := 0
			for _, s := range write {
				bufs = append(bufs, []byte(s))
				length += len(s)
			}
			if n, err := f.Writev(bufs); n != length || err != nil {
				return fmt.Errorf("%q: %d, %v", write, n, err)
			}
		}
		text, err := consoletest.Text(screen, i+1)
		if err != nil {
			return err
		}
		if lines := strings.Split(text, "\n"); lines[i] != test.want {
			return fmt.Errorf("%q are shown as %q", test.writes, lines[i])
		}
		if _, err := f.WriteString("\r\n"); err != nil {
			return err
		}
	}
	return nil
})

// TestConsole_Writes: what is written to a console is UTF-8, also where a character is cut in two.
func TestConsole_Writes(t *testing.T) { runChild(t, screenChild) }
