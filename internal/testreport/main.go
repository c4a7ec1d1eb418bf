// Testreport makes what "go test -json" prints readable, and counts it:
//
//	go test -json ./... | go run ./internal/testreport [-counts FILE]
//
// It prints a line for each package, everything that a failed test or package said, and why tests were skipped. -counts appends
// one line to FILE: how many tests passed, failed and were skipped. Tests within tests count too, and so does each package that failed
// on its own (it was not built, say). The exit status is 1 if anything failed, or if no test ran at all.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	counts := flag.String("counts", "", "append the numbers of passed, failed and skipped tests to this file")
	flag.Parse()
	r := report{out: os.Stdout, said: map[testID][]string{}, failedIn: map[string]int{}}
	err := r.read(os.Stdin)
	if err == nil && *counts != "" {
		err = appendLine(*counts, fmt.Sprintln(r.passed, r.failed, r.skipped))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if err != nil || r.failed > 0 || r.passed+r.skipped == 0 {
		os.Exit(1)
	}
}

func appendLine(name, line string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// event is what cmd/test2json and "go build -json" document, as far as it is used here.
type event struct {
	Action  string
	Package string
	Test    string // empty for what a package does
	Output  string
}

type testID struct{ pkg, test string }

// report is what is known so far.
type report struct {
	out      io.Writer
	said     map[testID][]string // what running tests, and packages, have printed
	failedIn map[string]int      // failed tests in a package

	passed, failed, skipped int
}

// read takes events until in ends. Lines that are none are printed as they are: the go command says some things in plain text.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			r.take(e)
		} else {
			fmt.Fprint(r.out, line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.said[id] = append(r.said[id], e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e.Action, e.Package)
		} else {
			r.endTest(e.Action, id)
		}
		delete(r.said, id)
	}
}

func (r *report) endTest(action string, id testID) {
	switch action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped++
		fmt.Fprintf(r.out, "skipped: %s %s\n", id.pkg, id.test)
		r.print(id, func(line string) bool { return strings.HasPrefix(line, "    ") })
	case "fail":
		r.failed++
		r.failedIn[id.pkg]++
		r.print(id, everything)
	}
}

func (r *report) endPackage(action, pkg string) {
	id := testID{pkg, ""}
	if action != "fail" {
		r.print(id, func(line string) bool { return strings.HasPrefix(line, "ok") || strings.HasPrefix(line, "?") })
		return
	}
	for _, test := range r.unfinished(pkg) {
		fmt.Fprintf(r.out, "--- NO END: %s\n", test)
		r.endTest("fail", testID{pkg, test})
		delete(r.said, testID{pkg, test})
	}
	if r.failedIn[pkg] == 0 {
		r.failed++
	}
	r.print(id, everything)
}

// unfinished returns the tests that a crash or an os.Exit left without an end.
func (r *report) unfinished(pkg string) (tests []string) {
	for id := range r.said {
		if id.pkg == pkg && id.test != "" {
			tests = append(tests, id.test)
		}
	}
	slices.Sort(tests)
	return tests
}

func everything(string) bool { return true }

// print shows what id has said, as far as wanted.
func (r *report) print(id testID, wanted func(line string) bool) {
	for _, line := range r.said[id] {
		if wanted(line) {
			fmt.Fprint(r.out, line)
		}
	}
}
