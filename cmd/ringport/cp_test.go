package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/patience"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, content string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%s: %v, %d bytes", path, err, len(got))
	}
}

// wantNames checks which entries a folder has.
func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("in %s: %q, not %q", dir, got, want)
	}
}

func TestCp(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16)
	for _, backend := range []string{"", namedBackend} {
		for _, flags := range [][]string{nil, {"--verify"}, {"--sync"}, {"-r", "--verify", "--sync"}, {"--quiet"}} {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "tree", "large"), large)
			put(t, filepath.Join(dir, "tree", "sub", "small"), "small")
			var env []string
			if backend != "" {
				env = []string{ringport.BackendVariable + "=" + backend}
			}
			stdout, stderr, code := runCommand(t, dir, env, append(append([]string{"cp"}, flags...), "tree", "copy")...)
			if code != 0 || stdout != "" {
				t.Errorf("%s %v: exit code %d, %q, %q", backend, flags, code, stdout, stderr)
			}
			quiet := len(flags) > 0 && flags[0] == "--quiet"
			if quiet != (stderr == "") || !quiet && !strings.HasPrefix(stderr, "copied 2 files, 1.0 MiB in ") {
				t.Errorf("%s %v: %q", backend, flags, stderr)
			}
			wantFile(t, filepath.Join(dir, "copy", "large"), large)
			wantFile(t, filepath.Join(dir, "copy", "sub", "small"), "small")
			wantNames(t, filepath.Join(dir, "copy"), "large", "sub")
		}
	}
}

func TestCpFailures(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a"), "a")
	put(t, filepath.Join(dir, "b"), "b")
	put(t, filepath.Join(dir, "folder", "b", "x"), "in the way")
	for _, test := range []struct {
		args string
		code int
		want []string
	}{
		{"a b folder", exitFailed, []string{"ringport cp: copy " + filepath.Join("folder", "b") + ": a folder has this name\n", "copied 1 file, 1 B in ",
			"ringport: not everything was copied: 1 error\n"}},
		{"absent new", exitFailed, []string{"ringport cp: lstat absent: " + errNotThere.Error() + "\nringport: not everything was copied: 1 error\n"}},
		{"a a", exitFailed, []string{"a and a are the same"}},
		{"folder folder/b", exitFailed, []string{"cannot be copied into itself"}},
		{"a b new", exitFailed, []string{"ringport: new is not a folder"}},
		{"-q absent new", exitFailed, []string{"absent: " + errNotThere.Error()}},
		{"a", exitUsage, []string{"ringport: cp needs a TARGET after a\n", "--help"}},
		{"", exitUsage, []string{"ringport: cp needs a SOURCE and a TARGET\n", "--help"}},
		{"--nonsense a new", exitUsage, []string{"--nonsense", "--help"}},
	} {
		stdout, stderr, code := runCommand(t, dir, nil, append([]string{"cp"}, strings.Fields(test.args)...)...)
		if code != test.code || stdout != "" {
			t.Errorf("cp %s: exit code %d, %q", test.args, code, stdout)
		}
		for _, want := range test.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("cp %s: no %q in %q", test.args, want, stderr)
			}
		}
	}
	wantFile(t, filepath.Join(dir, "folder", "a"), "a")
	wantNames(t, dir, "a", "b", "folder")
	wantNames(t, filepath.Join(dir, "folder"), "a", "b")
}

func TestCpUnknownBackend(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a"), "a")
	_, stderr, code := runCommand(t, dir, []string{ringport.BackendVariable + "=abacus"}, "cp", "a", "b")
	if code != exitFailed || !strings.Contains(stderr, "abacus") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	wantNames(t, dir, "a")
}

func TestCopyRate(t *testing.T) {
	var r copyRate
	now := time.Unix(1000, 0)
	step := func(n int, each int64) {
		for range n {
			now = now.Add(showEvery)
			r.add(now, r.done+each)
		}
	}
	unknown, known := copyTotal{}, copyTotal{known: true, files: 20000, bytes: 100 << 20}
	r.add(now, 0)
	if got := r.text(0, 0, 0, unknown); got != "0 files  0 B/s" {
		t.Errorf("at first: %q", got)
	}
	if got := r.text(0, 0, known.bytes, known); got != "0 of 20,000 files  0 B/s" { // no rate, no time left
		t.Errorf("without a rate: %q", got)
	}
	step(10, 1<<20) // 10 MiB a second
	if got := r.text(1, 10<<20, 0, unknown); got != "1 files  10 MiB/s" {
		t.Errorf("without a total: %q", got)
	}
	if got := r.text(1234, 10<<20, known.bytes, known); got != "1,234 of 20,000 files  10 MiB/s  9s left" {
		t.Errorf("with a total: %q", got)
	}
	step(600, 4<<20) // it has been four times as fast for a minute
	if got := r.text(1234, 20<<20, known.bytes, known); got != "1,234 of 20,000 files  40 MiB/s  2s left" {
		t.Errorf("faster: %q", got)
	}
	// A source that grew, or was measured too late: never less than nothing is left.
	if got := r.text(20001, 200<<20, known.bytes, known); got != "20,001 of 20,000 files  40 MiB/s  0s left" {
		t.Errorf("more than there is: %q", got)
	}
	r.add(now, r.done+1<<30) // no time has passed
	if got := r.text(0, 0, 0, unknown); got != "0 files  40 MiB/s" {
		t.Errorf("at the same time: %q", got)
	}
}

// Lines where there is no bar: what is there to do, and now and then how far it is. Failures are lines of their own.
func TestCopyDisplayWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	d := &copyDisplay{w: &out, verify: true, progress: newProgress(&out)}
	now := time.Unix(1000, 0)
	d.show(now, false)
	d.copied.Files.Store(3)
	d.copied.Moved.Store(10 << 20)
	d.show(now.Add(time.Second), true)
	d.total = copyTotal{true, 7, 20 << 20}
	d.failure(os.ErrPermission)
	d.copied.Verified.Store(10 << 20) // half of all there is to be copied and compared
	d.show(now.Add(2*time.Second), true)
	d.show(now.Add(3*time.Second), false)
	want := "3 files  10 MiB/s\n" +
		"ringport cp: permission denied\n" +
		"copying 7 files, 20 MiB\n" +
		"3 of 7 files  10 MiB/s  2s left\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestFormatTook(t *testing.T) {
	for took, want := range map[time.Duration]string{
		0: "0.00 s", 314 * time.Millisecond: "0.31 s", 12345 * time.Millisecond: "12.3 s", 3723400 * time.Millisecond: "1h2m3s",
	} {
		if got := formatTook(took); got != want {
			t.Errorf("%v is shown as %q, not %q", took, got, want)
		}
	}
}

// unfinished waits until a file with a temporary name is in dir.
func unfinished(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(patience.Limit); time.Now().Before(end); {
		if names, err := filepath.Glob(filepath.Join(dir, ".ringport-*")); err != nil {
			t.Fatal(err)
		} else if len(names) > 0 {
			return
		}
	}
	t.Fatalf("no copy was begun in %s", dir)
}
