package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ringport/ringport"
)

// commandVariable makes the test binary be the command, so that tests run it as users do: in processes that start others.
const commandVariable = "RINGPORT_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandVariable) != "" {
		if err := prepareCommand(); err != nil {
			os.Stderr.WriteString("prepare the test: " + err.Error() + "\n")
			os.Exit(99)
		}
		main()
	}
	os.Exit(m.Run())
}

// newCommand is the command with args, not started, in an empty current folder unless dir says otherwise. Env is added to the
// environment, which is without the variable that chooses a backend.
func newCommand(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if dir == "" {
		dir = t.TempDir()
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, ringport.BackendVariable+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, commandVariable+"=1"), env...)
	return cmd
}

// runCommand runs the command and returns what it wrote and its exit code.
func runCommand(t *testing.T, dir string, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return finish(t, newCommand(t, dir, env, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args[1:], err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// mustRun is runCommand for what must succeed.
func mustRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	stdout, stderr, code := runCommand(t, dir, nil, args...)
	if code != 0 {
		t.Fatalf("ringport %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// wantEmpty checks that a folder has nothing in it.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
}

func TestVersion(t *testing.T) {
	out := mustRun(t, "", "--version")
	if !strings.HasPrefix(out, "ringport ") || !strings.Contains(out, "go1.") {
		t.Errorf("--version: %q", out)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}} {
		out := mustRun(t, "", args...)
		for _, want := range []string{"bench", "cp", "doctor"} {
			if !strings.Contains(out, want) {
				t.Errorf("ringport %v does not name %s", args, want)
			}
		}
		if strings.Contains(out, engineCommandName) || strings.Contains(out, probeCommandName) {
			t.Errorf("ringport %v names commands that are not for users", args)
		}
	}
	out := mustRun(t, "", "bench", "--help")
	for _, name := range engineNames() {
		if !strings.Contains(out, "  "+name) {
			t.Errorf("bench --help does not name engine %s", name)
		}
	}
	if strings.Contains(out, "--verify") {
		t.Error("bench --help names --verify, which is for tests")
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"}, {"--nonsense"}, {"bench", "--nonsense"}, {"bench", "extra"}, {"doctor", "extra"},
	} {
		_, stderr, code := runCommand(t, "", nil, args...)
		if code != exitUsage || !strings.HasPrefix(stderr, "ringport: ") || !strings.Contains(stderr, "--help") {
			t.Errorf("ringport %v: exit code %d, %q", args, code, stderr)
		}
	}
}

// TestFlagErrors: what is wrong with a value, whoever parses it.
func TestFlagErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"bench --depth many", "--depth many: not a whole number"},
		{"bench --depth 1e3", "--depth 1e3: not a whole number"},
		{"bench --depth 99999999999999999999", "--depth 99999999999999999999: too large"},
		{"bench --operations x", "--operations x: not a whole number"},
		{"bench --block four", "--block four: not a size; examples: 4096, 4k, 64m, 1.5g"},
		{"bench --duration 10", "--duration 10: not a duration; examples: 500ms, 16s, 2m"},
		{"bench --json=perhaps", "--json perhaps: neither true nor false"},
		{"doctor extra", `doctor takes no arguments, and "extra" is one`},
	} {
		_, stderr, code := runCommand(t, "", nil, strings.Fields(c.args)...)
		if code != exitUsage || !strings.HasPrefix(stderr, "ringport: "+c.want) {
			t.Errorf("ringport %s: exit code %d, %q", c.args, code, stderr)
		}
	}
}
