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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport"
)

// patience is how long a test waits for what must happen. It ends a hang; nothing is measured by it.
const patience = 60 * time.Second

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
	r, w, _ := os.Pipe() // starts the runtime's poller, which has descriptors of its own
	r.Close()
	w.Close()
	before := descriptors()
	code := m.Run()
	if d, err := ringport.Default(); err == nil {
		d.Close()
	}
	if code == 0 {
		if err := eventually(func() error { return leftBehind(before) }); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: the tests left something behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func leftBehind(before []string) error {
	var errs []error
	for _, d := range descriptors() {
		if !slices.Contains(before, d) {
			errs = append(errs, fmt.Errorf("descriptor left: %s", d))
		}
	}
	buf := make([]byte, 1<<20)
	for i, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && strings.Contains(stack, "github.com/ringport/ringport") {
			errs = append(errs, fmt.Errorf("goroutine left: %s", stack))
		}
	}
	return errors.Join(errs...)
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

// eventually asks check until it has no objection any more, for as long as patience lasts, and returns its last one.
func eventually(check func() error) error {
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		if err := check(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

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
	c, err := async(func() (*Conn, error) { return l.AcceptContext(context.Background()) })()
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

// async runs f in a goroutine; the function that it returns waits for its result.
func async[T any](f func() (T, error)) func() (T, error) {
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = f()
	}()
	return func() (T, error) {
		select {
		case <-done:
			return v, err
		case <-time.After(patience):
			return v, errors.New("it hangs")
		}
	}
}

// inFlight waits until m has n operations in flight.
func inFlight(t testing.TB, m *ringport.Manager, n int64) {
	t.Helper()
	if err := eventually(func() error {
		if got := m.Stats().InFlight; got != n {
			return fmt.Errorf("%d operations in flight, want %d", got, n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// together runs fs at the same time, and reports their errors.
func together(t testing.TB, fs ...func() error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// expect reads what must come.
func expect(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil {
		return fmt.Errorf("%d of %d bytes, %w", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("other bytes than were sent")
	}
	return nil
}

// pattern is n bytes that tell where they belong.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}
