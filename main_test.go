package ringport

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// backendsVariable lists the backends to test, separated by commas, where the tests should not find out for themselves.
const backendsVariable = "RINGPORT_TEST_BACKENDS"

// TestMain checks that all tests together leave nothing behind: no goroutine, no descriptor and no kernel thread.
func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Exit(beChild(name))
	}
	warmUp()
	before := descriptors()
	code := m.Run()
	if code == 0 {
		if err := leftBehind(before); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: the tests left something behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// leftBehind closes the default manager, which nobody else does, and reports what there is then that was not there before.
func leftBehind(before map[string]string) error {
	m, err := Default()
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		return err
	}
	return patience.Until(func() error {
		runtime.GC() // os.File's that a test forgot are its own affair, and closed by this
		return errors.Join(goroutinesOf(nil, "github.com/ringport/ringport"), strangeDescriptors(before), kernelWorkers())
	})
}

// lessUnderRace is how many of n a test does under the race detector, where each takes several times as long. ./test does all of them without
// it: there every test that names this function or raceEnabled runs once more.
func lessUnderRace(n int) int {
	if raceEnabled {
		return n / 5
	}
	return n
}

// stacks are the traces of all goroutines, the caller's first.
func stacks() []string {
	all := make([]byte, 1<<20)
	return strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n")
}

// goroutineID is "goroutine 7", which begins a trace.
func goroutineID(stack string) string {
	id, _, _ := strings.Cut(stack, " [")
	return id
}

// goroutines are those that there are now, by goroutineID.
func goroutines() map[string]bool {
	ids := map[string]bool{}
	for _, stack := range stacks() {
		ids[goroutineID(stack)] = true
	}
	return ids
}

// goroutinesOf reports goroutines, other than the caller and those known, that have one of the marks in their stack trace.
func goroutinesOf(known map[string]bool, marks ...string) error {
	var errs []error
	for i, stack := range stacks() {
		for _, mark := range marks {
			if i > 0 && !known[goroutineID(stack)] && strings.Contains(stack, mark) {
				errs = append(errs, fmt.Errorf("goroutine left: %s", stack))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// kernelWorkers reports threads that io_uring made in this process and does not need. Linux keeps an idle one of either kind
// (bounded, unbounded) for each thread that has used a ring, as long as that thread lives; its name is that thread's number.
func kernelWorkers() error {
	names, _ := filepath.Glob("/proc/self/task/*/comm")
	workers := map[string]int{}
	for _, name := range names {
		if comm, err := os.ReadFile(name); err == nil && bytes.HasPrefix(comm, []byte("iou-")) {
			workers[string(bytes.TrimSpace(comm))]++
		}
	}
	var errs []error
	for name, n := range workers {
		if n > 2 {
			errs = append(errs, fmt.Errorf("%d threads left: %s", n, name))
		}
	}
	return errors.Join(errs...)
}

// backendsHere are the backends that every test runs on.
func backendsHere(t testing.TB) (names []string) {
	t.Helper()
	if list := os.Getenv(backendsVariable); list != "" {
		return strings.Split(list, ",")
	}
	for _, b := range backends {
		m, err := New(Config{Backend: b.name})
		if err == nil {
			names = append(names, b.name)
			m.Close()
			continue
		}
		var unavailable *UnavailableError
		if why := forbidden(); errors.As(err, &unavailable) && why != "" {
			t.Logf("not on %s, because %s: %v", b.name, why, err)
			continue
		}
		t.Fatalf("this system should have %s; %s=pool tests without: %v", b.name, backendsVariable, err)
	}
	return names
}

// forbidden is why io_uring need not be there; empty if it should be.
func forbidden() string {
	if status, err := os.ReadFile("/proc/self/status"); err == nil && bytes.Contains(status, []byte("\nSeccomp:\t2")) {
		return "this process is under a seccomp filter"
	}
	if v, err := os.ReadFile("/proc/sys/kernel/io_uring_disabled"); err == nil && string(bytes.TrimSpace(v)) != "0" {
		return "kernel.io_uring_disabled is set"
	}
	return ""
}

func modeName(callerDriven bool) string {
	if callerDriven {
		return "caller-driven"
	}
	return "threaded"
}

// forEach runs f on each backend in both modes.
func forEach(t *testing.T, f func(t *testing.T, c Config)) {
	t.Helper()
	forEachIn(t, f, false, true)
}

// forThreaded runs f on each backend in threaded mode.
func forThreaded(t *testing.T, f func(t *testing.T, c Config)) {
	t.Helper()
	forEachIn(t, f, false)
}

// forCallerDriven runs f on each backend in caller-driven mode.
func forCallerDriven(t *testing.T, f func(t *testing.T, c Config)) {
	t.Helper()
	forEachIn(t, f, true)
}

func forEachIn(t *testing.T, f func(t *testing.T, c Config), modes ...bool) {
	t.Helper()
	for _, name := range backendsHere(t) {
		for _, callerDriven := range modes {
			t.Run(name+"/"+modeName(callerDriven), func(t *testing.T) {
				f(t, Config{Backend: name, CallerDriven: callerDriven})
			})
		}
	}
}

// open makes a manager that the end of the test closes, unless it is closed by then.
func open(t testing.TB, c Config) *Manager {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil && !errors.Is(err, ErrManagerClosed) {
			t.Error("close:", err)
		}
	})
	return m
}

// result is what an operation did.
type result struct {
	n   int
	err error
}

// start starts op. Its result comes through the channel, with room for a second one that must not come.
func start(t testing.TB, m *Manager, op *Op) <-chan result {
	t.Helper()
	ch := make(chan result, 2)
	if err := m.Start(op, func(op *Op) {
		n, err := op.Result()
		ch <- result{n, err}
	}); err != nil {
		t.Fatal(err)
	}
	return ch
}

// receive returns what a callback sends to ch, and steps a caller-driven manager until one has. Who sends from another
// goroutine calls Wake.
func receive[T any](t testing.TB, m *Manager, ch <-chan T) T {
	t.Helper()
	if m.shared {
		select {
		case v := <-ch:
			return v
		case <-time.After(patience.Limit):
			t.Fatalf("nothing came; %+v", m.Stats())
		}
	}
	for end := time.Now().Add(patience.Limit); time.Now().Before(end); {
		select {
		case v := <-ch:
			return v
		default:
		}
		if _, err := m.Step(patience.Limit); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("nothing came; %+v", m.Stats())
	panic("unreachable")
}

// must fails the test if a step could not be done.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// onAnotherThread returns what f, on a goroutine and a thread that are not the caller's, returns.
func onAnotherThread(f func() error) error {
	errs := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		errs <- f()
	}()
	return <-errs
}

// do is Do without a context.
func do(t testing.TB, m *Manager, op *Op) int {
	t.Helper()
	n, err := m.Do(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// attach makes h one of m's, which it must be for what waits on it to be cancelled by the system, and on its port (Windows).
func attach(t testing.TB, m *Manager, h Handle) {
	t.Helper()
	if err := m.Attach(h); err != nil {
		t.Fatal(err)
	}
}

// detach undoes attach where the system can.
func detach(t testing.TB, m *Manager, h Handle) {
	t.Helper()
	if err := m.Detach(h); err != nil && !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

// owned are the handles that tests have to close. A number must not be closed twice: it may be another's by then, of the runtime or the system.
var owned sync.Map

// disown reports whether h was to be closed, which it isn't any more.
func disown(h Handle) bool {
	_, mine := owned.LoadAndDelete(h)
	return mine
}

// own makes the end of the test close h, unless it is closed before by closing, or disowned. One that was closed in another way is reported.
func own(t testing.TB, h Handle) {
	t.Helper()
	if _, before := owned.LoadOrStore(h, true); before {
		t.Errorf("handle %d was closed and not disowned, and is another now", h)
	}
	t.Cleanup(func() {
		if !disown(h) {
			return
		}
		if err := closeRaw(h); err != nil {
			t.Errorf("handle %d was closed and not disowned: %v", h, err)
		}
	})
}

// closing is the operation that closes h, which nobody else will close.
func closing(h Handle) *Op {
	disown(h)
	op := CloseHandle(h)
	return &op
}

// notOpen is a number that no handle has: fewer are open at a time. That of one that was just closed may be another's by the time it is used, such
// as of what a thread of Wine's waits for its port by.
const notOpen Handle = 1 << 20

// pipe returns the two ends of a pipe for m, in blocking mode where there is one. The end of the test closes them.
func pipe(t testing.TB, m *Manager) (r, w Handle) {
	t.Helper()
	r, w, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []Handle{r, w} {
		own(t, h)
		attach(t, m, h)
	}
	return r, w
}

// put writes s to w, past the manager.
func put(t testing.TB, w Handle, s string) {
	t.Helper()
	if n, err := rawWrite(w, []byte(s)); n != len(s) || err != nil {
		t.Errorf("write of %q: %d, %v", s, n, err)
	}
}

// testFile is a file of the tests, and its handle for a manager.
type testFile struct {
	*os.File
	h Handle
}

// Fd is the handle for the manager.
func (f *testFile) Fd() uintptr { return uintptr(f.h) }

// tempFile makes a file with the given content, for m. The end of the test closes it.
func tempFile(t testing.TB, m *Manager, content []byte) *testFile {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	h := ownHandle(t, m, f)
	t.Cleanup(func() { closeOwn(h) })
	return &testFile{f, h}
}

// childVariable names the function that a child process runs instead of the tests.
const childVariable = "RINGPORT_TEST_CHILD"

// children are what child processes do: what must not happen in the process of the tests. An error is printed and makes the
// exit status 1.
var children = map[string]func() error{}

// child registers f under name, as a package-level variable's initial value.
func child(name string, f func() error) string {
	children[name] = f
	return name
}

func beChild(name string) int {
	f := children[name]
	if f == nil {
		fmt.Fprintln(os.Stderr, "no such child:", name)
		return 1
	}
	if err := f(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childCommand is this test binary as a child process that runs the function registered under name.
func childCommand(t testing.TB, name string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(append(os.Environ(), childVariable+"="+name), env...)
	return cmd
}

// runChild runs a child that must succeed, and returns what it printed.
func runChild(t testing.TB, name string, env ...string) string {
	t.Helper()
	out, err := childCommand(t, name, env...).CombinedOutput()
	if err != nil {
		t.Fatalf("child %s: %v\n%s", name, err, out)
	}
	return string(out)
}
