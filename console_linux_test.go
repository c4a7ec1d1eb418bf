package ringport

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/terminaltest"
)

// enterIsRead is what a read gives for Enter.
const enterIsRead = "\n"

// canHangUp: the end of the terminal is an event.
const canHangUp = true

// makeRaw turns lines, echo and signals off, as golang.org/x/term does.
func makeRaw(h Handle) (restore func() error, err error) {
	mode, err := unix.IoctlGetTermios(int(h), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *mode
	raw.Iflag &^= unix.ICRNL | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	return func() error { return unix.IoctlSetTermios(int(h), unix.TCSETS, mode) }, unix.IoctlSetTermios(int(h), unix.TCSETS, &raw)
}

// threadsHere is how many threads this process has.
func threadsHere() int {
	tasks, _ := os.ReadDir("/proc/self/task")
	return len(tasks)
}

// TestConsole_Terminal talks to a process at a terminal: 1000 reads of its standard input are given up, half of them in raw mode, and what is
// typed next is read; typed Ctrl-C reaches its handler, and so does the terminal's end.
func TestConsole_Terminal(t *testing.T) {
	forBackends(t, func(t *testing.T, env string) {
		report, err := terminaltest.Talk(childCommand(t, terminalChild, env), func(*unix.Termios) bool { return true })
		t.Log(report)
		if err != nil || !strings.HasSuffix(report, "heard close\n") {
			t.Error(err)
		}
	})
}
