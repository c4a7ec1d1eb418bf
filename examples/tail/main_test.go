package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ringport/ringport"
)

// TestMain makes this binary the program where a test has started it as such.
func TestMain(m *testing.M) {
	if os.Getenv("RINGPORT_TEST_TAIL") != "" {
		interruptible()
		main()
		return
	}
	os.Exit(m.Run())
}

// program is tail as a process of its own. What it shows comes line by line.
type program struct {
	*exec.Cmd
	in    io.Writer
	lines *bufio.Scanner
}

func startTail(t *testing.T, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.CommandContext(t.Context(), exe, args...)}
	p.Env = append(os.Environ(), "RINGPORT_TEST_TAIL=1")
	p.Stderr = os.Stderr
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	return p
}

// wants waits until the program has shown these lines, and no others.
func (p *program) wants(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !p.lines.Scan() || p.lines.Text() != want {
			t.Fatalf("it shows %q, %v, and not %q", p.lines.Text(), p.lines.Err(), want)
		}
	}
}

// ends interrupts the program, which must end in good order.
func (p *program) ends(t *testing.T) {
	t.Helper()
	if err := p.interrupt(); err != nil {
		t.Fatal(err)
	}
	if p.lines.Scan() {
		t.Errorf("it shows %q", p.lines.Text())
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, name string, flag int, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|flag, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		if e := f.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTail follows a file that grows, is cut, and is replaced, until Ctrl-C.
func TestTail(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	write(t, name, os.O_CREATE, "one\ntwo\nthree\n")
	p := startTail(t, "-n", "2", name)
	p.wants(t, "two", "three")
	write(t, name, os.O_APPEND, "four\nfi")
	p.wants(t, "four")
	write(t, name, os.O_APPEND, "ve\n")
	p.wants(t, "five")
	write(t, name, os.O_TRUNC, "cut\n")
	p.wants(t, "cut")
	if runtime.GOOS != "windows" { // where an open file keeps its name
		if err := os.Rename(name, name+".1"); err != nil {
			t.Fatal(err)
		}
		write(t, name+".1", os.O_APPEND, "late\n")
		p.wants(t, "late")
		write(t, name, os.O_CREATE, "another\n")
		p.wants(t, "another")
	}
	p.ends(t)
}

// TestSeekLines: how many of the lines that are there are shown.
func TestSeekLines(t *testing.T) {
	m, err := ringport.Default()
	if err != nil {
		t.Fatal(err)
	}
	var many []string
	for i := range 20_000 { // several blocks
		many = append(many, fmt.Sprintf("line %d\n", i))
	}
	unfinished := append(slices.Clone(many), "unfinished")
	for _, all := range [][]string{nil, {"\n"}, {"one\n"}, {"one"}, {"\n", "\n", "\n"}, many, unfinished} {
		name := filepath.Join(t.TempDir(), "log")
		write(t, name, os.O_CREATE, strings.Join(all, ""))
		for _, n := range []int{0, 1, 2, 10, 15_000, len(all), len(all) + 1} {
			l := &tail{m: m, name: name}
			if err := l.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := l.seekLines(n); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			l.out = &got
			if err := l.show(); err != nil {
				t.Fatal(err)
			}
			if want := strings.Join(all[max(len(all)-n, 0):], ""); got.String() != want {
				t.Errorf("the last %d of %d lines: %d bytes instead of %d", n, len(all), got.Len(), len(want))
			}
			l.close()
		}
	}
}
