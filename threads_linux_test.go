package ringport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/patience"
)

// TestLaw2_ThreadDies starts reads on threads that then end, which makes the kernel cancel them: nobody has asked for that,
// so they must go on.
func TestLaw2_ThreadDies(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for range 20 {
			r, w := pipe(t, m)
			op := Read(r, make([]byte, 8), CurrentOffset)
			ch := make(chan result, 2)
			task := fmt.Sprintf("/proc/self/task/%d", onDyingThread(t, func() error {
				return m.Start(&op, func(op *Op) {
					n, err := op.Result()
					ch <- result{n, err}
				})
			}))
			if err := patience.Until(func() error {
				if _, err := os.Stat(task); err == nil {
					return errors.New("the thread goes on")
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			put(t, w, "alive")
			if res := receive(t, m, ch); res.n != 5 || res.err != nil {
				t.Fatalf("%+v", res)
			}
		}
	})
}

// onDyingThread runs f on a thread that ends afterwards, and returns the thread's number.
func onDyingThread(t *testing.T, f func() error) (thread int) {
	t.Helper()
	for {
		errs := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
			if thread = unix.Gettid(); thread == os.Getpid() {
				runtime.UnlockOSThread() // the runtime keeps the main thread
				errs <- nil
				return
			}
			errs <- f()
		}()
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		if thread != os.Getpid() {
			return thread
		}
	}
}

var idleChild = child("idle", beIdle)

// beIdle has a manager with reads that wait and timeouts that are far, and does nothing until its standard input ends.
func beIdle() error {
	c := Config{Backend: os.Getenv(BackendVariable), CallerDriven: os.Getenv("MODE") == modeName(true)}
	ready := make(chan error, 1)
	go func() {
		m, err := New(c)
		if err != nil {
			ready <- err
			return
		}
		var p [2]int
		if err := syscall.Pipe(p[:]); err != nil {
			ready <- err
			return
		}
		for range 10 {
			op := new(Op)
			*op = Read(Handle(p[0]), make([]byte, 8), CurrentOffset)
			if err := m.Start(op, func(*Op) {}); err != nil {
				ready <- err
				return
			}
		}
		m.AfterFunc(time.Hour, func() {})
		m.AfterFunc(time.Minute, func() {}).Stop()
		ready <- nil
		if c.CallerDriven {
			m.Step(-1)
			os.Exit(2) // woken
		}
	}()
	if err := <-ready; err != nil {
		return err
	}
	fmt.Println("ready")
	unix.Read(0, make([]byte, 1)) // not through the runtime's poller
	return nil
}

// TestLaw5_IdleUsesNothing watches another process that has an idle manager: once it has come to rest, none of its threads is
// scheduled at all, and no processor time is used. A tick would show in every interval.
func TestLaw5_IdleUsesNothing(t *testing.T) {
	interval, tries := time.Second, 20
	if *longFlag {
		interval, tries = 10*time.Second, 5
	}
	forEach(t, func(t *testing.T, c Config) {
		cmd := childCommand(t, idleChild, BackendVariable+"="+c.Backend, "MODE="+modeName(c.CallerDriven))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
		before := activity(t, cmd.Process.Pid)
		quiet := false
		for range tries {
			<-time.After(interval) // the interval that is looked at
			after := activity(t, cmd.Process.Pid)
			if quiet = after == before; quiet {
				break
			}
			t.Logf("in %v: %s, then %s", interval, before, after)
			before = after
		}
		if !quiet {
			t.Error("never idle")
		}
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// activity is how often the threads of a process were scheduled, and how long they ran.
func activity(t *testing.T, pid int) string {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(names) == 0 {
		t.Fatal("no threads:", err)
	}
	var all []string
	for _, name := range names {
		status, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		switches := 0
		for _, line := range bytes.Split(status, []byte("\n")) {
			if key, value, ok := strings.Cut(string(line), ":\t"); ok && strings.HasSuffix(key, "voluntary_ctxt_switches") {
				n, err := strconv.Atoi(value)
				if err != nil {
					t.Fatal(err)
				}
				switches += n
			}
		}
		all = append(all, strconv.Itoa(switches))
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return fmt.Sprintf("switches of each thread %v, %s + %s ticks", all, fields[11], fields[12]) // utime, stime
}

// TestPollable_OtherEventFDs reads an eventfd in a foreign loop: what a write to one completes must be seen through the other.
func TestPollable_OtherEventFDs(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		h, ok := m.Pollable()
		if !ok {
			t.Fatal("not pollable")
		}
		for range 10 {
			ch := start(t, m, readOp(Handle(fd), 8, CurrentOffset))
			for range 3 { // until there is nothing to do
				if _, err := m.Step(0); err != nil {
					t.Fatal(err)
				}
			}
			go put(t, Handle(fd), "\x01\x00\x00\x00\x00\x00\x00\x00")
			for len(ch) == 0 {
				foreignWait(t, m, h)
			}
			if res := <-ch; res.n != 8 || res.err != nil {
				t.Fatalf("%+v", res)
			}
		}
	})
}
