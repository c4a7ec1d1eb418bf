package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be the command, too.
func TestMain(m *testing.M) {
	if os.Getenv("RINGPORT_TESTREPORT_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Each case is a module's files, tested for real by the go command.
var cases = []struct {
	name   string
	files  map[string]string
	failed bool
	counts string   // passed, failed, skipped
	shows  []string // in this order
	hides  []string
}{
	{
		name: "all pass",
		files: map[string]string{"a_test.go": `package a
			import ("fmt"; "testing")
			func TestA(t *testing.T) { t.Log("not for the reader"); t.Run("sub", func(*testing.T) {}) }
			func ExampleA() { fmt.Println("hi")
			// Output: hi
			}`},
		counts: "3 0 0",
		shows:  []string{"ok  \tm/p\t"},
		hides:  []string{"not for the reader", "PASS"},
	}, {
		name: "one fails, in a package of many",
		files: map[string]string{
			"a_test.go": `package a
				import "testing"
				func TestGood(t *testing.T) { t.Log("quiet") }
				func TestBad(t *testing.T) { t.Log("first"); t.Run("sub", func(t *testing.T) { t.Error("<&> second") }) }`,
			"b/b_test.go": `package b
				import "testing"
				func TestFine(*testing.T) {}`,
		},
		failed: true,
		counts: "2 2 0",
		shows:  []string{"second", "--- FAIL: TestBad", "FAIL\tm/p\t", "ok  \tm/p/b"},
		hides:  []string{"quiet"},
	}, {
		name: "a skip says why",
		files: map[string]string{"a_test.go": `package a
			import "testing"
			func TestA(*testing.T) {}
			func TestB(t *testing.T) { t.Skip("no such device here") }`},
		counts: "1 0 1",
		shows:  []string{"skipped: m/p TestB", "no such device here", "ok  \tm/p\t"},
	}, {
		name: "a crash takes unfinished tests along",
		files: map[string]string{"a_test.go": `package a
			import "testing"
			func TestGood(*testing.T) {}
			func TestCrash(t *testing.T) { t.Log("before"); ch := make(chan int); go func() { panic("boom") }(); <-ch }`},
		failed: true,
		counts: "1 1 0",
		shows:  []string{"panic: boom", "FAIL\tm/p\t"},
	}, {
		name: "an exit without a word",
		files: map[string]string{"a_test.go": `package a
			import ("os"; "testing")
			func TestA(*testing.T) {}
			func TestExit(t *testing.T) { t.Run("sub", func(*testing.T) { os.Exit(3) }) }`},
		failed: true,
		counts: "1 2 0",
		shows:  []string{"--- NO END: TestExit\n", "--- NO END: TestExit/sub\n", "FAIL\tm/p\t"},
	}, {
		name: "TestMain fails after tests that pass",
		files: map[string]string{"a_test.go": `package a
			import ("fmt"; "os"; "testing")
			func TestMain(m *testing.M) { m.Run(); fmt.Fprintln(os.Stderr, "left behind: one goroutine"); os.Exit(1) }
			func TestA(*testing.T) {}`},
		failed: true,
		counts: "1 1 0",
		shows:  []string{"left behind: one goroutine", "FAIL\tm/p\t"},
	}, {
		name: "not built",
		files: map[string]string{
			"a_test.go": "package a\nfunc f() int { return undefinedName }",
			"b/b_test.go": `package b
				import "testing"
				func TestFine(*testing.T) {}`,
		},
		failed: true,
		counts: "1 1 0",
		shows:  []string{"undefinedName", "[build failed]", "ok  \tm/p/b"},
	}, {
		name:   "no test at all",
		files:  map[string]string{"a.go": "package a"},
		failed: true,
		counts: "0 0 0",
		shows:  []string{"[no test files]"},
	},
}

func TestReport(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command makes the events, and is not to be had here (under Wine, say): ", err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			output, counts, err := reportOn(t, c.files)
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if (err != nil) != c.failed {
				t.Errorf("failed: %v; want %v", err, c.failed)
			}
			if counts != c.counts {
				t.Errorf("counts %q; want %q", counts, c.counts)
			}
			rest := output
			for _, s := range c.shows {
				_, after, found := strings.Cut(rest, s)
				if !found {
					t.Errorf("%q is not shown, or not in its place", s)
				}
				rest = after
			}
			for _, s := range c.hides {
				if strings.Contains(output, s) {
					t.Errorf("%q is shown", s)
				}
			}
			if t.Failed() {
				t.Logf("output:\n%s", output)
			}
		})
	}
}

// reportOn writes a module with the files, and returns what the command makes of its tests.
func reportOn(t *testing.T, files map[string]string) (output, counts string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module m/p\n\ngo 1.25.0\n")
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	goTest := exec.Command("go", "test", "-json", "-vet=off", "-p=1", "./...")
	goTest.Dir = dir
	goTest.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	events, err := goTest.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	countsFile := filepath.Join(t.TempDir(), "counts")
	cmd := exec.Command(self, "-counts", countsFile)
	cmd.Env = append(os.Environ(), "RINGPORT_TESTREPORT_MAIN=1")
	cmd.Stdin = strings.NewReader("plain text of the go command\n" + string(events))
	out, err := cmd.CombinedOutput()
	if !strings.HasPrefix(string(out), "plain text of the go command\n") {
		t.Errorf("plain text got lost:\n%s", out)
	}
	line, readErr := os.ReadFile(countsFile)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(out), strings.TrimSpace(string(line)), err
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
