package ringport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// childMode says what the child below does: a word and what it is about. It is set by its parent.
const childMode = "RINGPORT_TEST_MODE"

// processChild is a process to wait for. What hangs ends in time even if a test forgets it.
var processChild = child("process", func() error {
	mode, about, _ := strings.Cut(os.Getenv(childMode), " ")
	switch mode {
	case "exit":
		code, err := strconv.Atoi(about)
		if err != nil {
			return err
		}
		os.Exit(code)
	case "say":
		fmt.Println(about)
		fmt.Fprintln(os.Stderr, "error of", about)
	case "hang":
		if about != "" {
			fmt.Println(about)
		}
		<-time.After(2 * patience.Limit)
	case "copy":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "until": // its standard input ends
		fmt.Println(about)
		io.Copy(io.Discard, os.Stdin)
		fmt.Println("over")
	case "fill": // a pipe, once its first byte is read, and leave it to another process
		os.Stdout.Write([]byte("x"))
		os.Stdin.Read(make([]byte, 1))
		os.Stdout.Write(make([]byte, fillBytes-1))
		cmd, err := anotherProcess("hang")
		if err != nil {
			return err
		}
		return cmd.Start()
	case "flood":
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				return err
			}
		}
	case "parent", "hanging parent": // of one that hangs, whose number it says
		kind, then, _ := strings.Cut(about, " ")
		cmd, err := anotherProcess("hang")
		if err != nil {
			return err
		}
		if kind == "escaped" {
			escape(cmd)
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Println(cmd.Process.Pid)
		if then == "hangs" {
			<-time.After(2 * patience.Limit)
		}
	default:
		return errors.ErrUnsupported
	}
	return nil
})

// fillBytes fit into a pipe.
const fillBytes = 40_000

// anotherProcess is one that a child may start, with its output.
func anotherProcess(mode string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childMode+"="+mode)
	cmd.Stdout = os.Stdout
	return cmd, err
}

// processCommand is a process that does what mode says.
func processCommand(t testing.TB, mode string) *exec.Cmd {
	t.Helper()
	// The race detector keeps a process for a second at its end, for reports that nobody here waits for.
	cmd := childCommand(t, processChild, childMode+"="+mode, "GORACE=atexit_sleep_ms=0")
	plain := exec.Command(cmd.Path) // without a context
	plain.Env = cmd.Env
	return plain
}

// withContext is cmd as exec.CommandContext makes it.
func withContext(ctx context.Context, cmd *exec.Cmd) *exec.Cmd {
	with := exec.CommandContext(ctx, cmd.Path)
	with.Env = cmd.Env
	return with
}

// startProcess starts a process past the manager. The end of the test kills it if it is still there.
func startProcess(t testing.TB, mode string) *os.Process {
	t.Helper()
	cmd := processCommand(t, mode)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // may be waited for already
	})
	return cmd.Process
}

func TestWaitProcess_Status(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, code := range []int{0, 1, 200} {
			p := startProcess(t, "exit "+strconv.Itoa(code))
			s, err := m.WaitProcess(t.Context(), p.Pid)
			if err != nil || s.PID != p.Pid || s.Code != code || s.Signal != 0 || s.CoreDumped || s.Success() != (code == 0) {
				t.Errorf("exit %d: %+v, %v", code, s, err)
			}
			if want := fmt.Sprint("exit status ", code); s.String() != want {
				t.Errorf("it says %q; want %q", s, want)
			}
			if used := s.UserTime + s.SystemTime; used <= 0 && !wine || used > time.Hour { // Wine counts threads that live
				t.Errorf("it used %v", used)
			}
		}
	})
}

// TestWaitProcess_ContextEnds: the process lives on, and a second wait gets its status.
func TestWaitProcess_ContextEnds(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		cmd := processCommand(t, "until ready")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer in.Close()
		for _, cause := range causes {
			ctx, end := cause.ctx()
			endInFlight(t, m, ctx, end)
			_, err := m.WaitProcess(ctx, cmd.Process.Pid)
			checkMatches(t, err, "wait", cause.want...)
			ctx, end = cause.ctx()
			end()
			_, err = m.WaitProcess(ctx, cmd.Process.Pid)
			checkMatches(t, err, "wait", cause.want...)
		}
		if !isAlive(cmd.Process.Pid) {
			t.Error("the process did not survive")
		}
		in.Close()
		if s, err := m.WaitProcess(t.Context(), cmd.Process.Pid); err != nil || !s.Success() {
			t.Errorf("the last wait: %+v, %v", s, err)
		}
	})
}

func TestWaitProcess_Close(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		p := startProcess(t, "hang")
		whileInFlight(m, func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
		if s, err := m.WaitProcess(t.Context(), p.Pid); !errors.Is(err, ErrManagerClosed) {
			t.Errorf("%+v, %v", s, err)
		}
		if _, err := m.WaitProcess(t.Context(), p.Pid); !errors.Is(err, ErrManagerClosed) {
			t.Errorf("after Close: %v", err)
		}
		if !isAlive(p.Pid) {
			t.Error("the process did not survive")
		}
	})
}

// TestWaitProcess_Many waits for the same process many times at once; each wait ends.
func TestWaitProcess_Many(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		p := startProcess(t, "hang")
		const waits = 20
		errs := make(chan error, waits)
		for range waits {
			go func() {
				s, err := m.WaitProcess(t.Context(), p.Pid)
				if err == nil && s.Code == 0 {
					err = fmt.Errorf("status %v", s)
				}
				errs <- err
			}()
		}
		if err := patience.Until(func() error {
			if n := m.Stats().InFlight; n != waits {
				return fmt.Errorf("%d in flight", n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		got := 0
		for range waits {
			switch err := <-errs; {
			case err == nil:
				got++
			case !errors.Is(err, ErrNoStatus) || !errors.Is(err, syscall.ECHILD):
				t.Error(err)
			}
		}
		if want := statuses(waits); got != want {
			t.Errorf("%d got the status; want %d", got, want)
		}
	})
}

func TestWaitProcess_BadInput(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		gone := processCommand(t, "exit 0")
		if err := gone.Run(); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name string
			pid  int
			want error
		}{
			{"0", 0, errInvalid},
			{"negative", -1, errInvalid},
			{"lowest", math.MinInt, errInvalid},
			{"highest", math.MaxInt, errInvalid},
			{"this one, plus 2 to the 32", os.Getpid() + math.MaxUint32 + 1, errInvalid},
			{"waited for", gone.Process.Pid, errNoProcess},
		} {
			var s ExitStatus
			var err error
			patience.Until(func() error { // Windows forgets a process when the last one does who has a handle
				if s, err = m.WaitProcess(t.Context(), test.pid); err == nil {
					return fmt.Errorf("there it is: %v", s)
				}
				return nil
			})
			var e *OpError
			if !errors.Is(err, test.want) || !errors.As(err, &e) || e.Op != "wait" || e.Name != fmt.Sprint("process ", test.pid) || s != noStatus || s.Success() {
				t.Errorf("%s: %+v, %#v", test.name, s, err)
			}
		}
		r, _ := pipe(t, m)
		for _, h := range []Handle{r, ^Handle(0), 1 << 20} {
			if s, err := m.WaitProcessHandle(t.Context(), h); err == nil {
				t.Errorf("handle %d: %+v", h, s)
			}
		}
	})
}

// said is a writer that has a first line, and calls onLine with it.
type said struct {
	strings.Builder
	onLine func(line string)
}

func onLine(f func(line string)) *said { return &said{onLine: f} }

func (s *said) Write(p []byte) (int, error) {
	s.Builder.Write(p)
	if line, _, ok := strings.Cut(s.String(), "\n"); ok && s.onLine != nil {
		f := s.onLine
		s.onLine = nil
		f(strings.TrimSuffix(line, "\r"))
	}
	return len(p), nil
}

// run is RunCmd, or RunCmdTree.
func run(m *Manager, tree bool, ctx context.Context, cmd *exec.Cmd) error {
	if tree {
		return m.RunCmdTree(ctx, cmd)
	}
	return m.RunCmd(ctx, cmd)
}

// forCommands runs f for RunCmd and RunCmdTree on each backend in both modes, and checks that nothing is left.
func forCommands(t *testing.T, f func(t *testing.T, m *Manager, tree bool)) {
	t.Helper()
	forEach(t, func(t *testing.T, c Config) {
		for _, tree := range []bool{false, true} {
			m := open(t, c)
			known := goroutines()
			f(t, m, tree)
			if t.Failed() {
				t.Fatalf("tree: %v", tree)
			}
			if err := patience.Until(func() error {
				return goroutinesOf(known, "ringport.(*command)", "ringport.(*commandPipe)", "os/exec.")
			}); err != nil {
				t.Errorf("tree: %v: %v", tree, err)
			}
		}
	})
}

func TestRunCmd(t *testing.T) {
	forCommands(t, func(t *testing.T, m *Manager, tree bool) {
		cmd := processCommand(t, "copy")
		text := strings.Repeat("a line\n", 100_000)
		var out strings.Builder
		in := strings.NewReader(text)
		cmd.Stdin, cmd.Stdout = in, &out
		if err := run(m, tree, t.Context(), cmd); err != nil || out.String() != text {
			t.Errorf("copied %d bytes of %d, %v", out.Len(), len(text), err)
		}
		if cmd.Stdin != in || cmd.Stdout != &out || cmd.Stderr != nil || cmd.SysProcAttr != nil || !cmd.ProcessState.Success() {
			t.Errorf("cmd has changed: %+v", cmd)
		}
		if err := run(m, tree, t.Context(), cmd); err == nil {
			t.Error("it ran twice")
		}

		out.Reset()
		cmd = processCommand(t, "say something")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := run(m, tree, t.Context(), cmd); err != nil || out.String() != "something\nerror of something\n" {
			t.Errorf("it said %q, %v", &out, err)
		}
		var stderr strings.Builder
		out.Reset()
		cmd = processCommand(t, "say something")
		cmd.Stdout, cmd.Stderr = &out, &stderr
		if err := run(m, tree, t.Context(), cmd); err != nil || out.String() != "something\n" || stderr.String() != "error of something\n" {
			t.Errorf("it said %q and %q, %v", &out, &stderr, err)
		}
		if err := run(m, tree, t.Context(), processCommand(t, "say something")); err != nil {
			t.Errorf("to nobody: %v", err)
		}
	})
}

func TestRunCmd_Fails(t *testing.T) {
	forCommands(t, func(t *testing.T, m *Manager, tree bool) {
		cmd := processCommand(t, "exit 3")
		err := run(m, tree, t.Context(), cmd)
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 3 || cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("exit 3: %#v", err)
		}
		if err := run(m, tree, t.Context(), exec.Command("there-is-no-such-program")); !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("no such program: %v", err)
		}

		cmd = processCommand(t, "say something")
		cmd.Stdout = writerFunc(func(p []byte) (int, error) { return 0, errOutOfPaper })
		if err := run(m, tree, t.Context(), cmd); err != errOutOfPaper {
			t.Errorf("a writer that fails: %v", err)
		}
		cmd = processCommand(t, "flood") // which ends when nobody reads
		cmd.Stdout = writerFunc(func(p []byte) (int, error) { return len(p) - 1, nil })
		if err := run(m, tree, t.Context(), cmd); !errors.As(err, new(*exec.ExitError)) {
			t.Errorf("a writer that takes too little: %v", err)
		}
		cmd = processCommand(t, "copy")
		cmd.Stdin = io.MultiReader(strings.NewReader("x"), readerFunc(func(p []byte) (int, error) { return 0, errOutOfPaper }))
		if err := run(m, tree, t.Context(), cmd); err != errOutOfPaper {
			t.Errorf("a reader that fails: %v", err)
		}
		cmd = processCommand(t, "exit 0") // and reads nothing
		cmd.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
		if err := run(m, tree, t.Context(), cmd); err != nil {
			t.Errorf("input that is not read: %v", err)
		}

		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errOutOfPaper)
		cmd = processCommand(t, "exit 0")
		if err := run(m, tree, ctx, cmd); !errors.Is(err, errOutOfPaper) || !errors.Is(err, context.Canceled) || cmd.Process != nil {
			t.Errorf("a context that is over: %v", err)
		}
		cmd = processCommand(t, "exit 0")
		cmd.Cancel = func() error { return nil }
		if err := run(m, tree, t.Context(), cmd); err == nil {
			t.Error("a Cancel without a context was taken")
		}
		m.Close()
		if err := run(m, tree, t.Context(), processCommand(t, "exit 0")); !errors.Is(err, ErrManagerClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestRunCmd_Files: files are given to the process itself, which moves their positions.
func TestRunCmd_Files(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		name := named(t, []byte("0123456789"))
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := os.Create(name + ".out")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		io.ReadFull(in, make([]byte, 4))
		cmd := processCommand(t, "copy")
		cmd.Stdin, cmd.Stdout = in, out
		if err := m.RunCmd(t.Context(), cmd); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(out.Name()); string(got) != "456789" || err != nil {
			t.Errorf("os.File: %q, %v", got, err)
		}

		from, to := openFile(t, m, name, os.O_RDONLY), openFile(t, m, name+".out", os.O_RDWR)
		io.ReadFull(from, make([]byte, 4))
		to.Write([]byte("ab"))
		cmd = processCommand(t, "copy")
		cmd.Stdin, cmd.Stdout = from, to
		err = m.RunCmd(t.Context(), cmd)
		if overlappedFiles && c.CallerDriven { // the process can't use them, and nobody can copy
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("File of a caller-driven manager: %v", err)
			}
			return
		}
		if err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(out.Name()); string(got) != "ab456789"[:max(8, len(got))] || err != nil {
			t.Errorf("File: %q, %v", got, err)
		}
		to.Write([]byte("!"))
		if got, _ := os.ReadFile(out.Name()); string(got) != "ab456789!" {
			t.Errorf("the position was not shared: %q", got)
		}
		from.Close()
		cmd = processCommand(t, "copy")
		cmd.Stdin = from
		if err := m.RunCmd(t.Context(), cmd); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a closed File: %v", err)
		}
	})
}

// checkEnded checks the error of a command that was killed because its context had ended.
func checkEnded(t *testing.T, err error, want ...error) {
	t.Helper()
	checkMatches(t, err, "run", want...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Success() {
		t.Errorf("it was not killed: %v", err)
	}
}

// TestRunCmd_ContextEnds: the process is killed, what it said is kept.
func TestRunCmd_ContextEnds(t *testing.T) {
	forCommands(t, func(t *testing.T, m *Manager, tree bool) {
		for _, same := range []bool{false, true} { // the command has it too
			ctx, cancel := context.WithCancelCause(context.Background())
			cmd := processCommand(t, "hang hello")
			if same {
				cmd = withContext(ctx, cmd)
			}
			out := onLine(func(string) { cancel(errOutOfPaper) })
			cmd.Stdout, cmd.Stderr = out, out
			err := run(m, tree, ctx, cmd)
			checkEnded(t, err, context.Canceled, errOutOfPaper)
			if out.String() != "hello\n" {
				t.Errorf("it said %q", out)
			}
		}
		// The command's alone: what package exec says.
		ctx, cancel := context.WithCancel(context.Background())
		cmd := withContext(ctx, processCommand(t, "hang hello"))
		cmd.Stdout = onLine(func(string) { cancel() })
		if err := run(m, tree, t.Context(), cmd); !errors.As(err, new(*exec.ExitError)) {
			t.Errorf("the command's context: %v", err)
		}
		// And in the end Close.
		cmd = processCommand(t, "hang hello")
		cmd.Stdout = onLine(func(string) {
			if m.shared {
				m.Close()
			}
		})
		if !m.shared {
			m.AfterFunc(0, func() { m.Close() })
		}
		checkEnded(t, run(m, tree, t.Context(), cmd), ErrManagerClosed)
	})
}

// TestRunCmd_GrandchildHoldsThePipe: the command returns all the same, with what was said. The tree is killed, what has left it is not.
func TestRunCmd_GrandchildHoldsThePipe(t *testing.T) {
	forCommands(t, func(t *testing.T, m *Manager, tree bool) {
		for _, test := range []struct {
			mode, kind string
			cancels    bool // cmd.Cancel kills the process alone
		}{
			{"parent kept", "whose parent is over", false},
			{"parent kept hangs", "whose parent hangs", false},
			{"parent kept hangs", "whose parent Cancel kills", true},
			{"parent escaped", "that has left the tree, whose parent is over", false},
			{"parent escaped hangs", "that has left the tree, whose parent hangs", false},
		} {
			ctx, cancel := context.WithCancel(context.Background())
			cmd := processCommand(t, test.mode)
			if test.cancels {
				cmd = withContext(ctx, cmd)
			}
			out := onLine(func(string) { cancel() })
			cmd.Stdout = out
			checkMatches(t, run(m, tree, ctx, cmd), "run", context.Canceled)
			if checkGrandchild(t, out, !tree || strings.Contains(test.mode, "escaped") && canEscape); t.Failed() {
				t.Fatalf("a grandchild %s", test.kind)
			}
		}
	})
}

// checkGrandchild checks that the one whose number was said lives on, and then kills it, or that it does not.
func checkGrandchild(t *testing.T, out *said, lives bool) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	if lives {
		if !isAlive(pid) {
			t.Error("it was killed")
			return
		}
		killProcess(t, pid)
		return
	}
	if err := patience.Until(func() error {
		if isAlive(pid) {
			return errors.New("it lives on")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestRunCmd_KeepsWhatWasSaid: what is in the pipe when nobody waits for more is read.
func TestRunCmd_KeepsWhatWasSaid(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for range 5 {
			ctx, cancel := context.WithCancel(context.Background())
			cmd := processCommand(t, "fill")
			in, goOn, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = in
			n := 0
			cmd.Stdout = writerFunc(func(p []byte) (int, error) {
				if n == 0 { // the rest is in the pipe when the process is over
					goOn.Write([]byte("x"))
					patience.Until(func() error {
						if isAlive(cmd.Process.Pid) {
							return errors.New("it is not over")
						}
						return nil
					})
					cancel()
				}
				n += len(p)
				return len(p), nil
			})
			checkMatches(t, m.RunCmdTree(ctx, cmd), "run", context.Canceled)
			in.Close()
			goOn.Close()
			if n != fillBytes {
				t.Errorf("%d of %d bytes came", n, fillBytes)
			}
		}
	})
}

// TestRunCmd_WaitDelay without an end of the context: the pipe is left to a grandchild.
func TestRunCmd_WaitDelay(t *testing.T) {
	forCommands(t, func(t *testing.T, m *Manager, tree bool) {
		for _, delay := range []time.Duration{time.Millisecond, -1} { // a negative one has passed at once, as package exec has it
			cmd := processCommand(t, "parent kept")
			cmd.WaitDelay = delay
			out := new(said)
			cmd.Stdout = out
			if err := run(m, tree, t.Context(), cmd); err != exec.ErrWaitDelay {
				t.Error(delay, err)
			}
			checkGrandchild(t, out, !tree)
		}
	})
}

// TestRunCmd_Cancel: a Cancel that only asks, and WaitDelay for those who don't listen.
func TestRunCmd_Cancel(t *testing.T) {
	forCommands(t, func(t *testing.T, m *Manager, tree bool) {
		for _, test := range []struct {
			name      string
			asks      bool // closes the standard input
			err       error
			delay     time.Duration
			succeeded bool
		}{
			{"listens", true, nil, 0, true},
			{"listens in time", true, nil, patience.Limit, true},
			{"does not listen", false, nil, time.Millisecond, false},
			{"can't be asked", false, errOutOfPaper, time.Millisecond, false},
			{"is killed, which comes too late", false, os.ErrProcessDone, time.Millisecond, false},
		} {
			ctx, cancel := context.WithCancelCause(context.Background())
			cmd := withContext(ctx, processCommand(t, "until ready"))
			cmd.WaitDelay = test.delay
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			calls := 0
			cmd.Cancel = func() error {
				if calls++; test.asks {
					in.Close()
				}
				return test.err
			}
			out := onLine(func(string) { cancel(errOutOfPaper) })
			cmd.Stdout = out
			err = run(m, tree, ctx, cmd)
			in.Close()
			if test.succeeded {
				checkMatches(t, err, "run", context.Canceled, errOutOfPaper)
				if errors.As(err, new(*exec.ExitError)) || out.String() != "ready\nover\n" {
					t.Errorf("a process that %s: %v, said %q", test.name, err, out)
				}
			} else if checkEnded(t, err, context.Canceled, errOutOfPaper); out.String() != "ready\n" {
				t.Errorf("a process that %s said %q", test.name, out)
			}
			if calls != 1 {
				t.Errorf("a process that %s: Cancel was called %d times", test.name, calls)
			}
			if t.Failed() {
				t.Fatalf("a process that %s: %v", test.name, err)
			}
		}
	})
}

// TestRunCmd_InputHoldsUpNobody: a reader that waits is left alone, when the process is over and when the context ends.
func TestRunCmd_InputHoldsUpNobody(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for _, mode := range []string{"say hello", "hang hello"} {
			ctx, cancel := context.WithCancel(context.Background())
			reading, release := make(chan struct{}, 10), make(chan struct{})
			cmd := processCommand(t, mode)
			cmd.Stdin = readerFunc(func(p []byte) (int, error) {
				reading <- struct{}{}
				<-release
				return copy(p, "lost"), nil
			})
			cmd.Stdout = onLine(func(string) {
				<-reading
				if strings.HasPrefix(mode, "hang") {
					cancel()
				}
			})
			if err := m.RunCmd(ctx, cmd); errors.Is(err, context.Canceled) != (mode == "hang hello") {
				t.Errorf("%s: %v", mode, err)
			}
			close(release)
			cancel()
		}
		if err := patience.Until(func() error { return goroutinesOf(nil, "ringport.(*commandPipe)") }); err != nil {
			t.Error(err)
		}
	})
}

// TestRunCmd_InACallback runs commands within one that runs, on a manager without goroutines.
func TestRunCmd_InACallback(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		ctx, cancel := context.WithCancel(context.Background())
		inner, begun := make(chan error, 2), make(chan bool)
		outer := processCommand(t, "hang hello")
		outer.Stdout = onLine(func(string) { close(begun) })
		m.AfterFunc(0, func() {
			for range cap(inner) {
				var out strings.Builder
				cmd := processCommand(t, "copy")
				cmd.Stdin, cmd.Stdout = strings.NewReader("hello"), &out
				err := m.RunCmd(t.Context(), cmd)
				if err == nil && out.String() != "hello" {
					err = fmt.Errorf("it said %q", &out)
				}
				inner <- err
			}
			if m.shared {
				<-begun // or there may be nothing to end
			}
			cancel()
		})
		checkEnded(t, m.RunCmd(ctx, outer), context.Canceled)
		for range cap(inner) {
			if err := receive(t, m, inner); err != nil {
				t.Error(err)
			}
		}
	})
}

// left runs f, which does not return, on a goroutine, and waits for its end.
func left(t *testing.T, f func()) {
	t.Helper()
	returned := false
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { recover() }()
		f()
		returned = true
	})
	wg.Wait()
	if returned {
		t.Error("it has returned")
	}
}

// waysOut are the ways in which a function does not return.
var waysOut = map[string]func(){"panic": func() { panic("a callback") }, "Goexit": runtime.Goexit}

// TestRunCmd_CallbackDoesNotReturn: a callback of a step of RunCmd's panics or ends the goroutine, and so does another meanwhile. The command is
// killed, and nothing is left of it.
func TestRunCmd_CallbackDoesNotReturn(t *testing.T) {
	for name, leave := range waysOut {
		t.Run(name, func(t *testing.T) {
			forCallerDriven(t, func(t *testing.T, c Config) {
				for _, tree := range []bool{false, true} {
					left(t, func() {
						m := open(t, c)
						cmd := processCommand(t, "hang hello")
						r, w := io.Pipe()
						cmd.Stdin = r
						defer w.Close()
						cmd.Stdout = onLine(func(string) {
							m.post(leave)
							m.post(leave)
						})
						defer func() {
							if cmd.ProcessState == nil || isAlive(cmd.Process.Pid) {
								t.Errorf("the process lives on: %v", cmd.ProcessState)
							}
							if n := m.Stats().InFlight; n != 0 {
								t.Errorf("%d operations are left", n)
							}
							if err := m.Close(); err != nil {
								t.Error(err)
							}
						}()
						run(m, tree, t.Context(), cmd)
					})
				}
			})
		})
	}
}

// TestRunCmd_CannotBeKilled: RunCmd returns, and says so.
func TestRunCmd_CannotBeKilled(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		ctx, cancel := context.WithCancel(context.Background())
		cmd := withContext(ctx, processCommand(t, "hang hello"))
		cmd.WaitDelay = time.Millisecond
		pid := 0
		cmd.Cancel = func() error {
			pid = cmd.Process.Pid
			return cmd.Process.Release() // as good as any other reason
		}
		cmd.Stdout = onLine(func(string) { cancel() })
		err := m.RunCmd(ctx, cmd)
		checkMatches(t, err, "run", context.Canceled)
		if !errors.As(err, new(*endedError)) { // Unix and Windows say it differently
			t.Errorf("it does not say why: %v", err)
		}
		if !isAlive(pid) {
			t.Error("the process is over")
		}
		killProcess(t, pid)
		if _, err := m.WaitProcess(t.Context(), pid); err != nil {
			t.Error(err)
		}
		if err := patience.Until(func() error {
			if n := m.Stats().InFlight; n != 0 {
				return fmt.Errorf("%d operations are left", n)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
