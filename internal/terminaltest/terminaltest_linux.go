// Package terminaltest talks to a test's child process that has a terminal, as somebody who sits at it would. It is for tests.
package terminaltest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/patience"
)

// Open makes a pseudo-terminal. What is written to its master is typed on the terminal.
func Open() (master, terminal *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	var number int
	raw, err := master.SyscallConn() // master.Fd would make it block
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err == nil {
				err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
			}
		})
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
	}
	return master, terminal, err
}

// Rounds is how often Talk has the child give up a read in each mode. The child gets it as its environment variable RoundsVariable.
const (
	Rounds         = 500
	RoundsVariable = "RINGPORT_TEST_ROUNDS"
)

// Talk runs cmd, which is not started, on a terminal of its own, and does what it says on its standard error, line by line: "type:" and what to
// type, with | for Enter; "hang up:"; "say:" and something for the report. Ready tells whether the terminal, which is asked again and again, can be typed
// on.
func Talk(cmd *exec.Cmd, ready func(mode *unix.Termios) bool) (report string, err error) {
	master, terminal, err := Open()
	if err != nil {
		return "", err
	}
	defer master.Close()
	go io.Copy(io.Discard, master)             // what the terminal shows
	cmd.Stdin, cmd.Stdout = terminal, terminal // Wine makes a console of both together
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", RoundsVariable, Rounds))
	out, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	defer terminal.Close()
	if err := cmd.Start(); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(out)
	for err == nil && lines.Scan() {
		what, text, _ := strings.Cut(strings.TrimRight(lines.Text(), "\r"), ":")
		switch what {
		case "type": // with | for Enter
			if err = await(terminal, ready); err == nil {
				_, err = io.WriteString(master, strings.ReplaceAll(text, "|", "\r"))
			}
		case "say":
			report += text + "\n"
		case "hang up":
			err = errors.Join(terminal.Close(), master.Close())
		default:
			err = fmt.Errorf("the child said %q", lines.Text())
			for lines.Scan() {
				report += lines.Text() + "\n"
			}
		}
	}
	if err != nil {
		cmd.Process.Kill()
	}
	if end := cmd.Wait(); err == nil && end != nil {
		err = end
	}
	return report, err
}

// await waits until the terminal is ready.
func await(terminal *os.File, ready func(mode *unix.Termios) bool) error {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience.Limit); time.Now().Before(end); runtime.Gosched() {
		var mode *unix.Termios
		var asked error
		if err := errors.Join(raw.Control(func(fd uintptr) { mode, asked = unix.IoctlGetTermios(int(fd), unix.TCGETS) }), asked); err != nil {
			return err
		}
		if ready(mode) {
			return nil
		}
	}
	return errors.New("the terminal is not ready")
}
