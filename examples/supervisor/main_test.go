package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/patience"
)

// modeVariable makes the test binary a command to supervise.
const modeVariable = "RINGPORT_TEST_SUPERVISED"

func TestMain(m *testing.M) {
	switch os.Getenv(modeVariable) {
	case "":
		os.Exit(m.Run())
	case "main": // the supervisor itself
		os.Setenv(modeVariable, "command") // what it starts; without it that would be all tests, again and again
		main()
	case "command":
		command()
	}
}

// command does what its arguments say.
func command() {
	switch os.Args[1] {
	case "try": // fails twice; a file counts
		f, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			log.Fatal(err)
		}
		f.WriteString("x")
		st, err := f.Stat()
		if err != nil {
			log.Fatal(err)
		}
		if f.Close(); st.Size() < 3 {
			os.Exit(7)
		}
		fmt.Println("third time lucky")
	case "hang": // with a child that has its output
		child := exec.Command(os.Args[0], "wait")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			log.Fatal(err)
		}
		fmt.Println("started", child.Process.Pid)
		<-time.After(2 * patience.Limit)
	case "wait":
		<-time.After(2 * patience.Limit)
	}
}

// supervised is a command with these arguments.
func supervised(t *testing.T, args ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(modeVariable, "command")
	return append([]string{exe}, args...)
}

func newSupervisor(t *testing.T, output, logged io.Writer) *supervisor {
	t.Helper()
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &supervisor{m: m, output: output, log: log.New(&lockedWriter{w: logged}, "", 0), pause: time.Millisecond, grace: 100 * time.Millisecond}
}

// TestRestarts: what fails is started again, until it succeeds.
func TestRestarts(t *testing.T) {
	var output, logged strings.Builder
	s := newSupervisor(t, &output, &logged)
	dir := t.TempDir()
	if err := s.run(t.Context(), [][]string{
		supervised(t, "try", filepath.Join(dir, "one")),
		supervised(t, "try", filepath.Join(dir, "two")),
	}); err != nil {
		t.Error(err)
	}
	if output.String() != "third time lucky\nthird time lucky\n" || strings.Count(logged.String(), "exit status 7; again in") != 4 {
		t.Errorf("output:\n%slog:\n%s", &output, &logged)
	}
}

// TestStops: the end of the context ends all, with what they have started.
func TestStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var logged strings.Builder
	var failed sync.Once
	started, tried := make(chan int, 2), make(chan struct{})
	s := newSupervisor(t, writerFunc(func(p []byte) (int, error) {
		var pid int
		if _, err := fmt.Sscanf(string(p), "started %d", &pid); err != nil {
			t.Errorf("output %q: %v", p, err)
		}
		if started <- pid; len(started) == 2 {
			go func() { // not in the way of what is tried
				<-tried
				stop()
			}()
		}
		return len(p), nil
	}), writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "; again in") {
			failed.Do(func() { close(tried) })
		}
		return logged.Write(p)
	}))
	missing := []string{filepath.Join(t.TempDir(), "missing")} // which is tried for as long as the others run
	if err := s.run(ctx, [][]string{supervised(t, "hang"), supervised(t, "hang"), missing}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := strings.Count(logged.String(), ": stopped: "); n < 2 || !strings.Contains(logged.String(), "; again in") {
		t.Errorf("log:\n%s", &logged)
	}
	waiting, cancel := context.WithTimeout(t.Context(), patience.Limit)
	defer cancel()
	for range 2 { // they are no children of ours: that they are over is an error, on some systems
		if _, err := s.m.WaitProcess(waiting, <-started); waiting.Err() != nil {
			t.Error("a descendant lives on:", err)
		}
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		args string
		want string
		ok   bool
	}{
		{"", "[]", false},
		{"a", "[[a]]", true},
		{"a -x 1 -- b -- c d", "[[a -x 1] [b] [c d]]", true},
		{"a -- -- b", "[]", false},
		{"-- a", "[]", false},
		{"a --", "[[a]]", true},
	} {
		got, ok := split(strings.Fields(test.args))
		if fmt.Sprint(got) != test.want || ok != test.ok {
			t.Errorf("%q: %v, %v", test.args, got, ok)
		}
	}
}

// TestProgram runs the program itself.
func TestProgram(t *testing.T) {
	try := supervised(t, "try", filepath.Join(t.TempDir(), "file"))
	exe := try[0]
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-pause=1ms", "--", exe, "try"}, 0, "third time lucky"},
		{nil, 2, "usage: supervisor"},
		{[]string{"-grace=0s", "--", exe}, 2, "usage: supervisor"},
	} {
		args := slices.Clone(test.args)
		if len(args) > 3 {
			args = append(args, try[2])
		}
		cmd := exec.Command(exe, args...)
		cmd.Env = append(os.Environ(), modeVariable+"=main")
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(string(out), test.want) {
			t.Errorf("%q: exit status %d\n%s", args, code, out)
		}
	}
}
