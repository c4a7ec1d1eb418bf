package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal: what is written to tty comes out of screen. See pty(7).
func openTerminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// On a terminal there is one line that moves, and it is gone in the end.
func TestLiveProgress(t *testing.T) {
	for _, term := range []string{"xterm", "dumb"} {
		screen, tty := openTerminal(t)
		cmd := newCommand(t, "", []string{"TERM=" + term}, "bench", "--size", "1m", "--depth", "4", "--engine", "osfile", "--rounds", "2", "--duration", "1s")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, tty
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		tty.Close()
		shown, _ := io.ReadAll(screen) // ends with EIO when the last process has closed the terminal
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, shown)
		}
		text := string(shown)
		if term == "dumb" {
			if strings.Contains(text, "█") || !strings.Contains(text, "round 2/2  osfile") {
				t.Errorf("on a dumb terminal: %q", text)
			}
			continue
		}
		for _, want := range []string{"laying out the file", "warming up osfile", "round 1/2  osfile", "round 2/2  osfile", "op/s", "█"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %q", want, text)
			}
		}
		if strings.Contains(text, "\n") {
			t.Errorf("the bar leaves lines behind: %q", text)
		}
		// What is left of the line after the last return to its beginning.
		if last := text[strings.LastIndex(text, "\r")+1:]; strings.TrimSpace(last) != "" {
			t.Errorf("the bar is left on the screen: %q", last)
		}
		if !strings.Contains(out.String(), "osfile ") {
			t.Errorf("no table: %s", &out)
		}
	}
}

// Ctrl-C in a round that would last for hours: the engine stops, its part of a round is reported, and the bar is gone.
func TestInterruptRound(t *testing.T) {
	screen, tty := openTerminal(t)
	cmd := newCommand(t, "", []string{"TERM=xterm"}, "bench", "--size", "1m", "--depth", "4", "--engine", "loop,osfile", "--rounds", "2", "--duration", "9h")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	tty.Close()
	shown, buf := "", make([]byte, 4096)
	for !strings.Contains(shown, "op/s") { // a round is under way
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, shown)
		}
		shown += string(buf[:n])
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(screen)
	shown += string(rest)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.HasSuffix(shown, "\rringport: interrupted\r\n") {
		t.Errorf("exit code %d, %q", code, shown)
	}
	if text := out.String(); !strings.Contains(text, "\nloop ") || strings.Contains(text, "\nosfile ") || !strings.Contains(text, "Stopped early") {
		t.Errorf("the report is %s", text)
	}
}
