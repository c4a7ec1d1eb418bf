//go:build unix

package ringport

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// brokenMode says what the child below does. It is set by its parent.
const brokenMode = "RINGPORT_TEST_BROKEN"

var brokenChild = child("broken pipe", func() error {
	mode := os.Getenv(brokenMode)
	os.Stdout, os.Stderr = nil, nil // what a program does to these has no influence
	switch mode {
	case "stdout":
		return second(Stdout().Write([]byte("x")))
	case "stderr":
		return second(Stderr().Writev([][]byte{nil, []byte("x")}))
	case "caller-driven":
		m, err := New(Config{CallerDriven: true})
		if err != nil {
			return err
		}
		f, err := m.NewFile(1, "one")
		if err != nil {
			return err
		}
		return second(f.WriteString("x"))
	case "caught":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGPIPE)
		if _, err := Stdout().Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			os.Exit(10)
		}
		<-signals
		os.Exit(42)
	case "another descriptor":
		m, err := Default()
		if err != nil {
			return err
		}
		fd, err := syscall.Dup(1)
		if err != nil {
			return err
		}
		f, err := m.NewFile(Handle(fd), "duplicate")
		if err != nil {
			return err
		}
		if _, err := f.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			os.Exit(10)
		}
		if _, err := f.Writev([][]byte{[]byte("x")}); !errors.Is(err, syscall.EPIPE) {
			os.Exit(11)
		}
		os.Exit(42)
	}
	return errors.New("unknown mode " + mode)
})

// TestStdio_BrokenPipe: a program whose standard output or error nobody reads any more dies of SIGPIPE, as with os.File. One that
// catches the signal, or writes to another descriptor, gets an error.
func TestStdio_BrokenPipe(t *testing.T) {
	forBackends(t, func(t *testing.T, env string) {
		for _, mode := range []string{"stdout", "stderr", "caller-driven", "caught", "another descriptor"} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			cmd := childCommand(t, brokenChild, env, brokenMode+"="+mode)
			cmd.Stdout, cmd.Stderr = w, w
			err = cmd.Run()
			w.Close()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Errorf("%s: the child ended with %v", mode, err)
				continue
			}
			status := exit.Sys().(syscall.WaitStatus)
			if lives := mode == "caught" || mode == "another descriptor"; lives && status.ExitStatus() != 42 ||
				!lives && status.Signal() != syscall.SIGPIPE {
				t.Errorf("%s: %v", mode, err)
			}
		}
	})
}
