package pool

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// terminal makes a terminal: what is written to its master, which is w, is typed on it. It hands on every byte as it is.
func (t *rig) terminal() (r, w driver.Handle) {
	t.Helper()
	slave, master := t.cookedTerminal()
	t.setTerminal(slave, func(s *unix.Termios) {
		s.Iflag, s.Oflag, s.Lflag = 0, 0, 0
		s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 1, 0
	})
	return slave, master
}

// cookedTerminal makes one that hands on whole lines.
func (t *rig) cookedTerminal() (r, w driver.Handle) {
	t.Helper()
	master := t.open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	if err := unix.IoctlSetPointerInt(int(master), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave := t.open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY)
	t.setTerminal(slave, func(s *unix.Termios) { s.Lflag &^= unix.ECHO })
	return slave, master
}

func (t *rig) setTerminal(slave driver.Handle, change func(s *unix.Termios)) {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(slave), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	change(settings)
	if err := unix.IoctlSetTermios(int(slave), unix.TCSETS, settings); err != nil {
		t.Fatal(err)
	}
}

func TestCancelledReadLeavesAHalfTypedLine(t *testing.T) {
	inBothModes(t, 1, func(t *rig) {
		in, keyboard := t.cookedTerminal()
		victim := t.start(reading(in, 20))
		t.put(keyboard, "half a ")
		t.reaches(victim, waiting)
		t.cancel(victim)
		r := t.start(reading(in, 20))
		t.reaches(r, waiting)
		t.put(keyboard, "line\n")
		t.must(r, 12, nil)
		if got := string(r.Buf[:12]); got != "half a line\n" {
			t.Fatalf("%q", got)
		}
		t.put(keyboard, "\x04") // Ctrl-D
		t.must(t.start(reading(in, 20)), 0, nil)
	})
}
