package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
)

// childVariable says that this process is to do something for a test: what, and with which name.
const childVariable = "RINGPORT_IPC_CHILD"

// TestMain checks that all tests together leave nothing behind: no goroutine, and no descriptor or pipe.
func TestMain(m *testing.M) {
	if what, name, ok := strings.Cut(os.Getenv(childVariable), " "); ok {
		if err := children[what](name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(conntest.Run(m))
}

// children are what a child process can do.
var children = map[string]func(name string) error{
	// dial connects and echoes until the server ends the connection.
	"dial": func(name string) error {
		c, err := Dial(context.Background(), name)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = io.Copy(c, onlyReader{c})
		return err
	},
	// abandon listens, and ends without a word.
	"abandon": func(name string) error {
		_, err := Listen(name)
		return err
	},
}

// child starts this program again to do something. The function that it returns waits for its end.
func child(t *testing.T, what, name string) (pid int, wait func() error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+what+" "+name)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, out.String())
		}
		return nil
	}
}

type onlyReader struct{ io.Reader }

// backends are those that there are on this kind of system.
func backends() []string {
	if list := os.Getenv("RINGPORT_TEST_BACKENDS"); list != "" {
		return strings.Split(list, ",")
	}
	if runtime.GOOS == "windows" {
		return []string{ringport.BackendIOCP}
	}
	return []string{ringport.BackendIOUring, ringport.BackendPool}
}

// forEach runs f on a manager of each backend, and checks that closing it, after f has closed what it opened, returns.
func forEach(t *testing.T, f func(t *testing.T, m *ringport.Manager)) {
	t.Helper()
	for _, name := range backends() {
		m, err := ringport.New(ringport.Config{Backend: name})
		var unavailable *ringport.UnavailableError
		if errors.As(err, &unavailable) {
			t.Logf("not on %s: %v", name, err) // the library's own tests know whether it should be there
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() {
				if err := m.Close(); err != nil {
					t.Error("close:", err)
				}
			})
			f(t, m)
		})
	}
}

// listen listens at a name that nobody has.
func listen(t testing.TB, lc ListenConfig) *Listener {
	t.Helper()
	l, err := lc.Listen(unused(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t testing.TB, m *ringport.Manager, l *Listener) *Conn {
	t.Helper()
	d := Dialer{Manager: m}
	c, err := d.Dial(context.Background(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t testing.TB, l *Listener) *Conn {
	t.Helper()
	c, err := conntest.Async(func() (*Conn, error) { return l.AcceptContext(context.Background()) })()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pair is a connection, as both its sides have it.
func pair(t testing.TB, lc ListenConfig) (client, server *Conn) {
	t.Helper()
	l := listen(t, lc)
	client = dial(t, lc.Manager, l)
	server = accept(t, l)
	l.Close()
	return client, server
}
