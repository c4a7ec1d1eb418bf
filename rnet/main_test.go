package rnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
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

// TestMain checks that all tests together leave nothing behind: no goroutine and no descriptor.
func TestMain(m *testing.M) {
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

// descriptors are this process's, with what they stand for. Where the system has no list there are none.
func descriptors() (all []string) {
	names, _ := filepath.Glob("/proc/self/fd/*")
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil { // the one that lists the directory is closed by now
			all = append(all, filepath.Base(name)+" "+target)
		}
	}
	return all
}

// eventually asks check until it has no objection any more, for as long as patience lasts, and returns its last one.
func eventually(check func() error) error {
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		if err := check(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// stack is one implementation of connections: package net, or ours on one backend.
type stack struct {
	name         string
	m            *ringport.Manager // nil: package net
	listen       func(network, address string) (net.Listener, error)
	listenPacket func(network, address string) (net.PacketConn, error)
	dial         func(ctx context.Context, network, address string) (net.Conn, error)
}

var netStack = stack{name: "net", listen: net.Listen, listenPacket: net.ListenPacket, dial: new(net.Dialer).DialContext}

func ourStack(m *ringport.Manager, name string) stack {
	lc, d := &ListenConfig{Manager: m}, &Dialer{Manager: m}
	return stack{
		name: name, m: m,
		listen: func(network, address string) (net.Listener, error) {
			return lc.Listen(context.Background(), network, address)
		},
		listenPacket: func(network, address string) (net.PacketConn, error) {
			return lc.ListenPacket(context.Background(), network, address)
		},
		dial: d.DialContext,
	}
}

// backendsHere are the backends that every test runs on.
func backendsHere(t testing.TB) (names []string) {
	t.Helper()
	if list := os.Getenv("RINGPORT_TEST_BACKENDS"); list != "" {
		return strings.Split(list, ",")
	}
	for _, name := range []string{ringport.BackendIOUring, ringport.BackendPool, ringport.BackendIOCP} {
		m, err := ringport.New(ringport.Config{Backend: name})
		var unavailable *ringport.UnavailableError
		if errors.As(err, &unavailable) {
			t.Logf("not on %s: %v", name, err) // the library's own tests know whether it should be there
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		names = append(names, name)
	}
	return names
}

// forEach runs f on a manager of each backend, and checks that closing it, after f has closed what it opened, returns.
func forEach(t *testing.T, f func(t *testing.T, s stack)) {
	t.Helper()
	for _, name := range backendsHere(t) {
		t.Run(name, func(t *testing.T) {
			m, err := ringport.New(ringport.Config{Backend: name})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := m.Close(); err != nil {
					t.Error("close:", err)
				}
			})
			f(t, ourStack(m, name))
		})
	}
}

// addresses are where to listen, by network.
func addressOf(t testing.TB, network string) string {
	t.Helper()
	switch network {
	case "tcp", "tcp4", "udp", "udp4":
		return "127.0.0.1:0"
	case "tcp6", "udp6":
		return "[::1]:0"
	}
	dir, err := os.MkdirTemp("", "rnet") // t.TempDir may be too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "socket")
}

func listen(t testing.TB, s stack, network string) net.Listener {
	t.Helper()
	l, err := s.listen(network, addressOf(t, network))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair is a connection, as both its sides have it.
func pair(t testing.TB, s stack, network string) (client, server net.Conn) {
	t.Helper()
	l := listen(t, s, network)
	accepted := async(func() (net.Conn, error) { return l.Accept() })
	client, err := s.dial(context.Background(), network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = accepted()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { client.Close(); server.Close() })
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
