package ringport

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminals has the two ends of a pseudo-terminal as streams: what a program on a terminal reads, and what a terminal emulator
// reads.
var terminals = []stream{
	{"terminal", func(t *testing.T, m *Manager) (*File, func(string)) {
		master, slave := terminal(t, m)
		return slave, func(s string) { put(t, Handle(master.Fd()), s) }
	}},
	{"terminal's other end", func(t *testing.T, m *Manager) (*File, func(string)) {
		master, slave := terminal(t, m)
		return master, func(s string) { put(t, Handle(slave.Fd()), s) }
	}},
}

// terminal opens a pseudo-terminal that passes on lines as they are.
func terminal(t *testing.T, m *Manager) (master, slave *File) {
	t.Helper()
	master = openFile(t, m, "/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY)
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave = openFile(t, m, fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY)
	mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Lflag &^= unix.ECHO
	mode.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	return master, slave
}
