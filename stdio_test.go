package ringport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// forBackends runs f for each backend, for a child process that makes its managers with it.
func forBackends(t *testing.T, f func(t *testing.T, env string)) {
	t.Helper()
	for _, name := range backendsHere(t) {
		t.Run(name, func(t *testing.T) { f(t, BackendVariable+"="+name) })
	}
}

var stdinChild = child("stdin", func() error {
	before, err := modesOf(uintptr(syscall.Stdin))
	if err != nil {
		return err
	}
	if f := Stdin(); f != Stdin() || f.Name() != "/dev/stdin" || Stdin().Fd() != uintptr(syscall.Stdin) {
		return errors.New("standard input is not one file")
	}
	m, err := Default()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	whileInFlight(m, cancel)
	if n, err := Stdin().WithContext(ctx).Read(make([]byte, 10)); n != 0 || !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a read that was cancelled: %d, %v", n, err)
	}
	Stdin().SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := Stdin().Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("a read with a deadline: %d, %v", n, err)
	}
	Stdin().SetReadDeadline(time.Time{})
	if _, err := Stdout().WriteString("now\n"); err != nil {
		return err
	}
	n, err := io.Copy(Stdout(), Stdin())
	if err != nil {
		return err
	}
	if after, err := modesOf(uintptr(syscall.Stdin)); err != nil || before != after {
		return fmt.Errorf("the flags of standard input were %#x and are %#x, %v", before, after, err)
	}
	_, err = fmt.Fprintln(Stderr(), "copied", n)
	return err
})

// TestStdio_Stdin: a child gives up reads of its standard input, and then copies all that comes to its standard output.
func TestStdio_Stdin(t *testing.T) {
	forBackends(t, func(t *testing.T, env string) {
		cmd := childCommand(t, stdinChild, env)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		if line, err := r.ReadString('\n'); line != "now\n" {
			t.Errorf("the child's first line: %q, %v", line, err)
		}
		content := noise(200_000, 23)
		go func() {
			in.Write(content)
			in.Close()
		}()
		got, err := io.ReadAll(r)
		if err != nil || string(got) != string(content) {
			t.Errorf("%d bytes came through of %d, %v", len(got), len(content), err)
		}
		if err := cmd.Wait(); err != nil || said.String() != "copied 200000\n" {
			t.Errorf("the child: %v, %q", err, said.String())
		}
	})
}

var noManagerChild = child("no manager", func() error {
	for what, err := range map[string]error{
		"Open": second(Open("file")), "Create": second(Create("file")), "Read": second(Stdin().Read(nil)),
		"Write": second(Stdout().Write(nil)), "Stat": second(Stderr().Stat()), "Close": Stdin().Close(),
	} {
		var c *ConfigError
		var op *OpError
		if !errors.As(err, &c) || c.Field != BackendVariable || !errors.As(err, &op) {
			return fmt.Errorf("%s: %v", what, err)
		}
	}
	os.Unsetenv(BackendVariable)
	return nil
})

var noDescriptorChild = child("no descriptor", func() error {
	if _, err := Default(); err != nil { // first, or else one of its descriptors gets the number
		return err
	}
	closeRaw(Handle(syscall.Stdin))
	if _, err := Stdin().Read(make([]byte, 1)); !errors.Is(err, errBadHandle) || !strings.Contains(err.Error(), "started without it") {
		return fmt.Errorf("Read: %v", err)
	}
	return nil
})

// TestStdio_Unavailable: without a manager, or a descriptor, the files are there and say what is missing.
func TestStdio_Unavailable(t *testing.T) {
	runChild(t, noManagerChild, BackendVariable+"=nonsense")
	forBackends(t, func(t *testing.T, env string) { runChild(t, noDescriptorChild, env) })
}

// TestStdio_PackageFunctions are those of the default manager.
func TestStdio_PackageFunctions(t *testing.T) {
	name := t.TempDir() + "/file"
	if _, err := Open(name); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	f, err := Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("hello"); err != nil {
		t.Error(err)
	}
	f.Close()
	if f, err = OpenFile(name, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		t.Fatal(err)
	}
	f.WriteString(", you")
	f.Close()
	if f, err = Open(name); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); string(got) != "hello, you" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
