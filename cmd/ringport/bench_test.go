package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ringport/ringport/internal/patience"
)

// parseFigures reads what bench --json printed.
func parseFigures(t *testing.T, out string) (all []figures) {
	t.Helper()
	for line := range strings.Lines(out) {
		var f figures
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, f)
	}
	return all
}

// Every engine does what it is told, reads what is there and writes what and where it should, cached and direct.
func TestEngines(t *testing.T) {
	for _, engine := range engineNames() {
		for _, rw := range []string{"read", "write", "mixed"} {
			for _, way := range []string{directFalse, directAuto} {
				t.Run(engine+"/"+rw+"/direct="+way, func(t *testing.T) {
					t.Parallel()
					testEngine(t, engine, rw, way)
				})
			}
		}
	}
}

func testEngine(t *testing.T, engine, rw, way string) {
	const size, block, depth, operations, rounds = 2 << 20, 4096, 7, 300, 2
	file := filepath.Join(t.TempDir(), "data")
	laidOut(t, &benchOptions{file: file, size: size, block: block, direct: directFalse})
	before := readMarked(t, file, size)
	out := mustRun(t, "", "bench", "--file", file, "--engine", engine, "--rw", rw, "--direct="+way, "--verify", "--json", "--overwrite",
		"--operations", strconv.Itoa(operations), "--rounds", strconv.Itoa(rounds), "--depth", strconv.Itoa(depth))
	all := parseFigures(t, out)
	if len(all) != 1 {
		t.Fatalf("%d engines in %q", len(all), out)
	}
	f := all[0]
	if f.Engine != engine || f.Errors != 0 || f.Operations != rounds*operations || f.Rounds != rounds {
		t.Errorf("wrong figures: %+v", f)
	}
	if f.Block != block || f.Depth != depth || f.Size != size || f.RW != rw || f.Pattern != "random" || way == directFalse && f.Direct {
		t.Errorf("wrong description: %+v", f)
	}
	if f.OperationsPerSecond <= 0 || f.MegabytesPerSecond <= 0 || f.Threads < 1 || f.P50Micros <= 0 ||
		f.P50Micros > f.P90Micros || f.P90Micros > f.P99Micros || f.P99Micros > f.P999Micros || f.P999Micros > f.MaxMicros {
		t.Errorf("implausible figures: %+v", f)
	}
	after := readMarked(t, file, size)
	changed := 0
	for i := 0; i < size; i += block {
		if !slices.Equal(before[i:i+block], after[i:i+block]) {
			changed++
		}
	}
	// 600 writes of 512 blocks at random miss all but some.
	if rw == "read" && changed != 0 || rw == "write" && changed < 200 || rw == "mixed" && (changed < 20 || changed > 300) {
		t.Errorf("--rw %s changed %d of %d blocks", rw, changed, size/block)
	}
}

// laidOut makes the file that o names, or a temporary one, with its content. The test closes it.
func laidOut(t *testing.T, o *benchOptions) *benchFile {
	t.Helper()
	b, err := openBenchFile(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	if err := b.fill(t.Context(), int64(o.block), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	return b
}

// readMarked reads a file and checks that each sector has its own mark.
func readMarked(t *testing.T, file string, size int) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != size {
		t.Fatalf("%s has %d bytes, not %d", file, len(b), size)
	}
	if err := checkStamps(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// A read that brings something else is found out, by every engine. If it were not, TestEngines would show nothing.
func TestWrongContent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	b := make([]byte, 1<<20)
	stamp(b, sectorBytes) // each sector has its neighbour's mark
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, engine := range engineNames() {
		stdout, stderr, code := runCommand(t, "", nil, "bench", "--file", file, "--engine", engine, "--verify", "--json",
			"--operations", "50", "--rounds", "1", "--depth", "4")
		if code != exitFailed || !strings.Contains(stderr, "wrong content at byte") {
			t.Errorf("%s: exit code %d, %s", engine, code, stderr)
		}
		all := parseFigures(t, stdout)
		if len(all) != 1 || all[0].Errors != 50 || all[0].Operations != 0 || !strings.Contains(all[0].FirstError, "wrong content") {
			t.Errorf("%s: %+v", engine, all)
		}
	}
}

// A file that gets shorter under the engines is an error that says where.
func TestShortFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(commandVariable, "1")
	b, err := openBenchFile(&benchOptions{file: file, block: 4096, rw: "read", direct: directFalse})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, engine := range engineNames() {
		p, err := startEngine(t.Context(), engineSpec{Engine: engine, Name: file, Block: 4096, Depth: 2, ReadPercent: 100, Sequential: true}, b)
		if err != nil {
			t.Fatal(err)
		}
		// Three blocks of a file that has two.
		res, _, err := p.round(t.Context(), roundSpec{Size: 3 * 4096, Operations: 3}, func(sample) {})
		if err != nil {
			t.Fatal(err)
		}
		if res.Operations != 2 || res.Errors != 1 || res.FirstError == "" {
			t.Errorf("%s: %d operations, %d errors, the first %q", engine, res.Operations, res.Errors, res.FirstError)
		}
		if err := p.end(); err != nil {
			t.Errorf("%s: %v", engine, err)
		}
	}
}

// The promised fields are there by name, for every engine, in the order of the table.
func TestJSON(t *testing.T) {
	dir := t.TempDir()
	out := mustRun(t, dir, "bench", "--json", "--operations", "200", "--rounds", "3", "--size", "1m", "--depth", "4")
	var engines []string
	for line := range strings.Lines(out) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		engines = append(engines, fmt.Sprint(object["engine"]))
		for _, name := range []string{"operations_per_second", "cpu_us_per_operation", "p50_us", "p99_us", "p999_us", "threads", "errors",
			"speed_ratio", "cpu_ratio"} {
			if _, isNumber := object[name].(float64); !isNumber && (name != "cpu_ratio" || !coarseCPU) {
				t.Errorf("%v: %s is %v", object["engine"], name, object[name])
			}
		}
		if !strings.HasPrefix(fmt.Sprint(object["engine"]), baseline) && (object["backend"] == nil || object["why"] == nil) {
			t.Errorf("%v does not say its backend and why", object["engine"])
		}
	}
	if !slices.Equal(engines, engineNames()) {
		t.Errorf("engines %v, not %v", engines, engineNames())
	}
	wantEmpty(t, dir)
}

// The engines take turns, and each time another one begins.
func TestTurns(t *testing.T) {
	last := engineNames()[3]
	_, stderr, code := runCommand(t, "", nil, "bench", "--operations", "20", "--rounds", "3", "--size", "1m", "--engine", "osfile,loop,"+last)
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var turns []string
	for line := range strings.Lines(stderr) {
		if words := strings.Fields(line); words[0] == "round" {
			turns = append(turns, words[1][:1]+words[2])
		}
	}
	want := []string{"1osfile", "1loop", "1" + last, "2loop", "2" + last, "2osfile", "3" + last, "3osfile", "3loop"}
	if !slices.Equal(turns, want) {
		t.Errorf("turns %v, not %v", turns, want)
	}
}

// The table has every engine, ratios against osfile, and says what ran.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	out := mustRun(t, dir, "bench", "--operations", "200", "--rounds", "1", "--size", "1m", "--block", "8k", "--depth", "4", "--pattern", "sequential",
		"--engine", "loop,osfile,"+engineNames()[3])
	for _, want := range []string{"8 KiB sequential reads", "depth 4", "temporary file in " + dir, "1 MiB", "op/s", "CPU µs/op", "p99.9 µs", "threads",
		systemEngineNote, "loop: backend ", "× is against osfile"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if n := strings.Count(line, "×1.00"); strings.HasPrefix(line, "osfile ") && n != 2 && (n != 1 || !coarseCPU) {
			t.Errorf("osfile against itself: %s", line)
		}
	}
	wantEmpty(t, dir)
	alone := mustRun(t, dir, "bench", "--operations", "50", "--rounds", "1", "--size", "1m", "--engine", "loop")
	if strings.Contains(alone, "×") {
		t.Errorf("ratios without osfile:\n%s", alone)
	}
}

// A file that bench is told to make is kept, and used as it is by the next run.
func TestNamedFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "data")
	args := []string{"bench", "--file", file, "--size", "1000000", "--operations", "20", "--rounds", "1", "--engine", "osfile"}
	out := mustRun(t, dir, args...)
	if !strings.Contains(out, "is kept") {
		t.Errorf("it does not say that the file is kept:\n%s", out)
	}
	before := readMarked(t, file, 1000000/4096*4096) // whole blocks
	out = mustRun(t, dir, "bench", "--file", file, "--operations", "20", "--rounds", "1", "--engine", "osfile")
	if strings.Contains(out, "is kept") {
		t.Errorf("it says that it made a file that was there:\n%s", out)
	}
	if !slices.Equal(before, readMarked(t, file, len(before))) {
		t.Error("reads changed the file")
	}
}

// Writes to a file that was there need to be allowed.
func TestOverwrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "precious")
	content := make([]byte, 64<<10)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, rw := range []string{"write", "mixed"} {
		_, stderr, code := runCommand(t, "", nil, "bench", "--file", file, "--rw", rw, "--operations", "100", "--rounds", "1")
		if code != exitUsage || !strings.Contains(stderr, "--overwrite") {
			t.Errorf("--rw %s: exit code %d, %s", rw, code, stderr)
		}
		if now, err := os.ReadFile(file); err != nil || !slices.Equal(now, content) {
			t.Fatalf("--rw %s changed the file (%v)", rw, err)
		}
	}
	mustRun(t, "", "bench", "--file", file, "--rw", "write", "--overwrite", "--operations", "100", "--rounds", "1", "--engine", "osfile")
	if now, err := os.ReadFile(file); err != nil || slices.Equal(now, content) {
		t.Errorf("--overwrite wrote nothing (%v)", err)
	}
}

// Holes are pointed out: they would make a disk look fast.
func TestHoles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "holes")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 8<<20); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := mustRun(t, "", "bench", "--file", file, "--operations", "20", "--rounds", "1", "--engine", "osfile")
	used, known := allocated(f)
	if says := strings.Contains(out, "no blocks on the disk"); says != (known && used < 8<<20) {
		t.Errorf("%d bytes of 8 MiB have blocks (known: %v), and it says:\n%s", used, known, out)
	}
}

// Bad input gets one line that says what is wrong, the right exit code, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	small := filepath.Join(dir, "small")
	if err := os.WriteFile(small, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, test := range []struct {
		args string
		env  string
		code int
		want string
	}{
		{args: "--depth 0", code: exitUsage, want: "--depth 0: it must be from 1 to 32768"},
		{args: "--depth -1", code: exitUsage, want: "--depth -1"},
		{args: "--depth 32769", code: exitUsage, want: "--depth 32769"},
		{args: "--depth 32768 --block 1m", code: exitUsage, want: "buffers would take more than 1 GiB"},
		{args: "--block 0", code: exitUsage, want: "--block 0 B"},
		{args: "--block 2g", code: exitUsage, want: "--block 2 GiB"},
		{args: "--block four", code: exitUsage, want: "not a size"},
		{args: "--block 1000 --direct=true", code: exitUsage, want: "direct I/O needs a multiple of 512"},
		{args: "--direct=maybe", code: exitUsage, want: "--direct maybe"},
		{args: "--size 1k", code: exitUsage, want: "smaller than one block"},
		{args: "--rw erase", code: exitUsage, want: "--rw erase"},
		{args: "--rw mixed --read-percent 101", code: exitUsage, want: "--read-percent 101"},
		{args: "--pattern zigzag", code: exitUsage, want: "--pattern zigzag"},
		{args: "--rounds 0", code: exitUsage, want: "--rounds 0"},
		{args: "--operations -1", code: exitUsage, want: "--operations -1"},
		{args: "--duration 1ms", code: exitUsage, want: "too short"},
		{args: "--duration -1s", code: exitUsage, want: "too short"},
		{args: "--engine warp", code: exitUsage, want: "--engine warp: unknown; there are osfile, ringport, loop, " + engineNames()[3]},
		{args: "--engine loop,loop", code: exitUsage, want: "named twice"},
		{args: "--html nowhere/page.html", code: exitUsage, want: "there is no folder nowhere"},
		{args: "--html .", code: exitUsage, want: "not a regular file"},
		{args: "--file missing/data", code: exitFailed, want: "there is no folder missing"},
		{args: "--file " + small, code: exitFailed, want: "less than one block of 4 KiB"},
		{args: "--block 512 --size 2k --file " + small, code: exitFailed, want: "less than the --size of 2 KiB"},
		{args: "--file " + os.DevNull, code: exitFailed, want: "neither a regular file nor a block device"},
		{args: "--size 1m", env: "RINGPORT_BACKEND=steam", code: exitUsage, want: `RINGPORT_BACKEND is "steam"`},
	} {
		var env []string
		if test.env != "" {
			env = append(env, test.env)
		}
		stdout, stderr, code := runCommand(t, empty, env, append([]string{"bench"}, strings.Fields(test.args)...)...)
		line, _, _ := strings.Cut(stderr, "\n")
		if code != test.code || !strings.HasPrefix(line, "ringport: ") || !strings.Contains(line, test.want) || stdout != "" {
			t.Errorf("bench %s %s: exit code %d, output %q, error %q", test.args, test.env, code, stdout, stderr)
		}
	}
	wantEmpty(t, empty)
}

// An engine whose process ends on the way is an error that names it.
func TestEngineDies(t *testing.T) {
	t.Setenv(commandVariable, "1")
	b := laidOut(t, &benchOptions{file: t.TempDir(), size: 1 << 20, block: 4096, direct: directFalse})
	p, err := startEngine(t.Context(), engineSpec{Engine: "osfile", Name: b.title, Block: 4096, Depth: 2, ReadPercent: 100}, b)
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	_, _, err = p.round(t.Context(), roundSpec{Size: b.size, Nanos: int64(patience.Limit)}, func(sample) {
		if !killed {
			killed = true
			p.cmd.Process.Kill()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "engine osfile ended: "+howKilled) {
		t.Errorf("the error is %v", err)
	}
}

// The page is one file: it parses, has a plot of each sort with a line for each engine, and fetches nothing.
func TestHTML(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	out := mustRun(t, dir, "bench", "--operations", "500", "--rounds", "2", "--size", "1m", "--depth", "4", "--html", file)
	if !strings.Contains(out, "Plots: "+file) {
		t.Errorf("it does not say where the page is:\n%s", out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files beside the page", len(entries)-1)
	}
	p := parsePage(t, b)
	for _, name := range engineNames() {
		color := hexColor(engineColors[name])
		// A row of the table, two bars, two legends; and a line in each plot, where engines are told apart by colour alone.
		if strings.Count(p.text, name) < 5 || strings.Count(strings.ToLower(p.plots), color) < 2 {
			t.Errorf("%s: named %d times, colour %s in the plots %d times", name, strings.Count(p.text, name), color,
				strings.Count(strings.ToLower(p.plots), color))
		}
	}
	if p.elements["svg"] != 2 || p.elements["table"] != 1 || p.elements["path"] < 8 {
		t.Errorf("elements: %v", p.elements)
	}
	for _, want := range []string{"4 KiB random reads", "CPU µs/op", "--html", "Linux"} {
		if !strings.Contains(p.text, want) && (want != "Linux" || strings.Contains(kernelVersion(), want)) {
			t.Errorf("no %q on the page", want)
		}
	}
}
