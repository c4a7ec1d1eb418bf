//go:build linux

package ringport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/sandboxtest"
)

// denyVariable makes the tests themselves run where io_uring is forbidden, with the errno of this name.
const denyVariable = "RINGPORT_TEST_DENY"

var denials = map[string]syscall.Errno{"EPERM": unix.EPERM, "ENOSYS": unix.ENOSYS}

func init() {
	if name := os.Getenv(denyVariable); name != "" {
		if err := sandboxtest.Deny(denials[name]); err != nil {
			panic(err)
		}
	}
}

var forbiddenChild = child("forbidden", whereForbidden)

// whereForbidden checks what New does where io_uring is forbidden.
func whereForbidden() error {
	errno := denials[os.Getenv(denyVariable)]
	for _, callerDriven := range []bool{false, true} {
		if err := fallsBack(Config{CallerDriven: callerDriven}, errno); err != nil {
			return fmt.Errorf("%s: %w", modeName(callerDriven), err)
		}
		for _, byVariable := range []bool{false, true} {
			if err := unavailableByName(Config{CallerDriven: callerDriven}, byVariable, errno); err != nil {
				return fmt.Errorf("%s: %w", modeName(callerDriven), err)
			}
		}
		os.Setenv(BackendVariable, BackendPool)
		m, err := New(Config{CallerDriven: callerDriven})
		if err != nil {
			return err
		}
		if why := m.Stats().Why; why != "chosen by "+BackendVariable {
			return fmt.Errorf("pool by the variable: %q", why)
		}
		m.Close()
		os.Setenv(BackendVariable, "bogus")
		var config *ConfigError
		if _, err = New(Config{CallerDriven: callerDriven}); !errors.As(err, &config) || config.Field != BackendVariable {
			return fmt.Errorf("bogus by the variable: %v", err)
		}
		os.Unsetenv(BackendVariable)
	}
	m, err := Default()
	if err != nil {
		return err
	}
	return works(m)
}

// fallsBack checks a manager made without a wish.
func fallsBack(c Config, errno syscall.Errno) error {
	m, err := New(c)
	if err != nil {
		return err
	}
	defer m.Close()
	s := m.Stats()
	for _, want := range []string{"io_uring is not available", errno.Error(), "best available"} {
		if s.Backend != BackendPool || !strings.Contains(s.Why, want) {
			return fmt.Errorf("the backend is %q because %q, which does not say %q", s.Backend, s.Why, want)
		}
	}
	return works(m)
}

func unavailableByName(c Config, byVariable bool, errno syscall.Errno) error {
	if byVariable {
		os.Setenv(BackendVariable, BackendIOUring)
		defer os.Unsetenv(BackendVariable)
	} else {
		c.Backend = BackendIOUring
	}
	_, err := New(c)
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Backend != BackendIOUring || unavailable.Reason == "" || !errors.Is(err, errno) {
		return fmt.Errorf("asked for by name: %#v", err)
	}
	return nil
}

// works lets m read a pipe.
func works(m *Manager) error {
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		return err
	}
	defer syscall.Close(p[0])
	defer syscall.Close(p[1])
	if _, err := syscall.Write(p[1], []byte("works")); err != nil {
		return err
	}
	buf := make([]byte, 8)
	op := Read(Handle(p[0]), buf, CurrentOffset)
	if n, err := m.Do(context.Background(), &op); string(buf[:n]) != "works" || err != nil {
		return fmt.Errorf("read %q, %v", buf[:n], err)
	}
	return nil
}

func TestSandbox_Forbidden(t *testing.T) {
	for name := range denials {
		t.Run(name, func(t *testing.T) {
			runChild(t, forbiddenChild, denyVariable+"="+name, BackendVariable+"=")
		})
	}
}

// TestSandbox_Laws runs tests of the laws where io_uring is forbidden. (The script "test" runs all tests so.)
func TestSandbox_Laws(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name := range denials {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), exe, "-test.v", "-test.run=^(TestLaw[13468]_|TestChain_)", "-test.skip=AtRandom")
			cmd.Env = append(os.Environ(), denyVariable+"="+name, backendsVariable+"=", BackendVariable+"=")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"--- PASS: TestLaw4_CloseDrains/pool/caller-driven", "this process is under a seccomp filter"} {
				if !bytes.Contains(out, []byte(want)) {
					t.Errorf("the output does not have %q:\n%s", want, out)
				}
			}
			if bytes.Contains(out, []byte("/io_uring/")) {
				t.Errorf("something ran on io_uring:\n%s", out)
			}
		})
	}
}

var killChild = child("kill", func() error {
	if err := sandboxtest.Kill(); err != nil {
		return err
	}
	m, err := New(Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	return works(m)
})

// TestSandbox_KillingFilter: the variable is read before anything is tried.
func TestSandbox_KillingFilter(t *testing.T) {
	runChild(t, killChild, BackendVariable+"="+BackendPool)
	out, err := childCommand(t, killChild, BackendVariable+"=").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSYS {
		t.Errorf("without the variable: %v\n%s", err, out)
	}
}

var openWithFullTableChild = child("table full", func() error {
	for _, callerDriven := range []bool{false, true} {
		c := Config{Backend: os.Getenv("WISH"), CallerDriven: callerDriven}
		if err := withFullTable(c); err != nil {
			return fmt.Errorf("%s: %w", modeName(callerDriven), err)
		}
	}
	return nil
})

// withFullTable makes managers with ever more room in the table of descriptors, until one can be made.
func withFullTable(c Config) error {
	warmUp() // what the runtime opens once and for all
	before := descriptors()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	for room := 0; ; room++ {
		small := limit
		small.Cur = uint64(firstFree() + room)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &small); err != nil {
			return err
		}
		m, err := New(c)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		if err == nil {
			if room == 0 {
				return errors.New("the table was not full")
			}
			defer m.Close()
			if c.Backend == "" && m.Stats().Backend != backends[0].name {
				return fmt.Errorf("with room for %d more: %+v", room, m.Stats())
			}
			return works(m)
		}
		var unavailable *UnavailableError
		if !errors.Is(err, unix.EMFILE) || errors.As(err, &unavailable) {
			return fmt.Errorf("with room for %d more: %v", room, err)
		}
		if err := strangeDescriptors(before); err != nil {
			return fmt.Errorf("with room for %d more: %w", room, err)
		}
		if room > 100 {
			return errors.New("a manager takes more than 100 descriptors")
		}
	}
}

// firstFree is the lowest number that the table has free.
func firstFree() int {
	fd, err := unix.Dup(0)
	if err != nil {
		return 0
	}
	unix.Close(fd)
	return fd
}

// TestSandbox_DescriptorTableFull: that is an error, and no reason to fall back.
func TestSandbox_DescriptorTableFull(t *testing.T) {
	for _, name := range append(backendsHere(t), "") {
		if name == "" && forbidden() != "" {
			t.Logf("without a wish only where the best can be had; %s", forbidden())
			continue
		}
		runChild(t, openWithFullTableChild, "WISH="+name, BackendVariable+"=")
	}
}

var memlockChild = child("memlock", func() error {
	// Capabilities are a thread's, and it is the calling thread's that count.
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	for _, callerDriven := range []bool{false, true} {
		c := Config{Backend: os.Getenv("WISH"), CallerDriven: callerDriven}
		if err := withLittleLockedMemory(c); err != nil {
			return fmt.Errorf("%s: %w", modeName(callerDriven), err)
		}
	}
	return nil
})

// withLittleLockedMemory makes managers with ever more memory that may be locked, until one can be made. Whether the queues
// count depends on the kernel (before 5.12 they did, and on 6.18 they do); registered buffers always count.
func withLittleLockedMemory(c Config) error {
	warmUp()
	before := descriptors()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		return err
	}
	for limit := uint64(0); limit <= old.Max; limit = max(2*limit, 4096) {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit, Max: old.Max}); err != nil {
			return err
		}
		m, err := New(c)
		if err != nil {
			var unavailable *UnavailableError
			if !errors.Is(err, unix.ENOMEM) || errors.As(err, &unavailable) || !strings.Contains(err.Error(), "memlock") {
				return fmt.Errorf("with a limit of %d: %w", limit, err)
			}
			if err := strangeDescriptors(before); err != nil {
				return fmt.Errorf("with a limit of %d: %w", limit, err)
			}
			continue
		}
		defer m.Close()
		fmt.Printf("%s works with a memlock limit of %d\n", m.Stats().Backend, limit)
		if err := works(m); err != nil {
			return err
		}
		if err := sendsZeroCopy(m, int(limit)+1<<20); err != nil {
			return err
		}
		err = m.RegisterBuffers([][]byte{make([]byte, limit+4096)})
		var op *OpError
		if c.Backend == BackendPool {
			return err // it locks nothing
		}
		if !errors.Is(err, unix.ENOMEM) || !errors.As(err, &op) {
			return fmt.Errorf("register buffers: %#v", err)
		}
		return works(m)
	}
	return errors.New("no limit is enough")
}

// sendsZeroCopy sends more than may be locked, without a copy if that could be had.
func sendsZeroCopy(m *Manager, bytes int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		return err
	}
	defer server.Close()
	received := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, server)
		received <- n
	}()
	f, err := client.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	op := SendZeroCopy(Handle(f.Fd()), make([]byte, bytes), 0)
	n, err := m.Do(context.Background(), &op)
	f.Close()
	client.Close()
	if got := <-received; err != nil || n != bytes || got != int64(n) {
		return fmt.Errorf("a zero-copy send of %d bytes with little locked memory: %d, %w; the peer got %d", bytes, n, err, got)
	}
	return nil
}

// TestSandbox_NoLockedMemory: that is an error too, which says so.
func TestSandbox_NoLockedMemory(t *testing.T) {
	for _, name := range backendsHere(t) {
		t.Log(runChild(t, memlockChild, "WISH="+name))
	}
}
