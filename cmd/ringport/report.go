package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tally collects the rounds of one engine.
type tally struct {
	engine     string
	info       engineInfo
	rounds     []*roundResult
	latencies  *hdrhistogram.Histogram
	operations int64
	errors     int64
	firstError string
	threads    int
}

func newTally(engine string, info engineInfo) *tally {
	return &tally{engine: engine, info: info, latencies: newHistogram()}
}

func (t *tally) add(r *roundResult, hist *hdrhistogram.Histogram) {
	t.rounds = append(t.rounds, r)
	t.latencies.Merge(hist)
	t.operations += r.Operations
	if t.errors += r.Errors; t.firstError == "" {
		t.firstError = r.FirstError
	}
	t.threads = max(t.threads, r.Threads)
}

// figures are an engine's results. Throughput and processor time are medians over the rounds, latencies those of all.
type figures struct {
	Engine              string  `json:"engine"`
	Backend             string  `json:"backend,omitempty"` // ringport's; empty for osfile
	Why                 string  `json:"why,omitempty"`
	Note                string  `json:"note,omitempty"`
	OperationsPerSecond float64 `json:"operations_per_second"`
	MegabytesPerSecond  float64 `json:"megabytes_per_second"` // of 1,000,000 bytes
	CPUMicros           float64 `json:"cpu_us_per_operation"`
	P50Micros           float64 `json:"p50_us"`
	P90Micros           float64 `json:"p90_us"`
	P99Micros           float64 `json:"p99_us"`
	P999Micros          float64 `json:"p999_us"`
	MaxMicros           float64 `json:"max_us"`
	Threads             int     `json:"threads"`
	Operations          int64   `json:"operations"`
	Errors              int64   `json:"errors"`
	FirstError          string  `json:"first_error,omitempty"`
	Rounds              int     `json:"rounds"`
	SpeedRatio          float64 `json:"speed_ratio,omitempty"` // operations a second against osfile; zero: no osfile
	CPURatio            float64 `json:"cpu_ratio,omitempty"`   // processor time an operation against osfile

	// What was measured.
	Block   int64  `json:"block_bytes"`
	Depth   int    `json:"depth"`
	Size    int64  `json:"size_bytes"`
	Direct  bool   `json:"direct"`
	RW      string `json:"rw"`
	Pattern string `json:"pattern"`
}

// figures computes every engine's figures.
func (b *bench) figures() []figures {
	var all []figures
	base := -1
	for _, t := range b.tallies {
		if len(t.rounds) == 0 {
			continue // interrupted before its turn
		}
		if t.engine == baseline {
			base = len(all)
		}
		all = append(all, b.figuresOf(t))
	}
	for i := range all {
		if base >= 0 && all[base].OperationsPerSecond > 0 {
			all[i].SpeedRatio = all[i].OperationsPerSecond / all[base].OperationsPerSecond
		}
		if base >= 0 && all[base].CPUMicros > 0 { // Windows counts it in ticks, of which a short round may see none
			all[i].CPURatio = all[i].CPUMicros / all[base].CPUMicros
		}
	}
	return all
}

func (b *bench) figuresOf(t *tally) figures {
	rate := medianOf(t.rounds, rateOf)
	micros := func(percent float64) float64 { return float64(t.latencies.ValueAtPercentile(percent)) / 1e3 }
	f := figures{
		Engine: t.engine, Backend: t.info.Backend, Why: t.info.Why, Note: t.info.Note,
		OperationsPerSecond: rate,
		MegabytesPerSecond:  rate * float64(b.o.block) / 1e6,
		CPUMicros:           medianOf(t.rounds, cpuMicrosOf),
		Threads:             t.threads, Operations: t.operations, Errors: t.errors, FirstError: t.firstError, Rounds: len(t.rounds),
		Block: int64(b.o.block), Depth: b.o.depth, Size: b.file.size, Direct: b.file.direct, RW: b.o.rw, Pattern: b.o.pattern,
	}
	if t.operations > 0 {
		f.P50Micros, f.P90Micros, f.P99Micros = micros(50), micros(90), micros(99)
		f.P999Micros, f.MaxMicros = micros(99.9), float64(t.latencies.Max())/1e3
	}
	return f
}

func rateOf(r *roundResult) float64 {
	if r.Nanos == 0 {
		return 0
	}
	return float64(r.Operations) / float64(r.Nanos) * 1e9
}

func cpuMicrosOf(r *roundResult) float64 {
	if r.Operations == 0 {
		return 0
	}
	return float64(r.CPUNanos) / float64(r.Operations) / 1e3
}

// medianOf is the median of f over rounds; of an even number, the mean of the middle two.
func medianOf(rounds []*roundResult, f func(*roundResult) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = f(r)
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// workTitle is what the engines do, in words: 4 KiB random reads, direct, depth 32.
func (o *benchOptions) workTitle(f *benchFile) string {
	verb := map[string]string{"read": "reads", "write": "writes", "mixed": fmt.Sprintf("mixed (%d%% reads)", o.readPercent)}[o.rw]
	way := "cached"
	if f.direct {
		way = "direct"
	}
	return fmt.Sprintf("%s %s %s, %s, depth %d", o.block.String(), o.pattern, verb, way, o.depth)
}

// subtitle is what they do it to: temporary file in /data, 1 GiB.
func (b *benchFile) subtitle() string { return b.title + ", " + formatSize(b.size) }

// report prints the results as the user wants them.
func (b *bench) report(out io.Writer) error {
	all := b.figures()
	var err error
	if b.o.json {
		err = writeJSON(out, all)
	} else {
		err = b.writeTable(out, all)
	}
	if err != nil || b.o.html == "" {
		return err
	}
	if err := replaceFile(b.o.html, func(w io.Writer) error { return b.writeHTML(w, all) }); err != nil {
		return fmt.Errorf("write the page: %w", plain(err))
	}
	if !b.o.json {
		fmt.Fprintf(out, "\nPlots: %s\n", b.o.html)
	}
	return nil
}

// replaceFile writes a file under another name and renames it, so that path has the old content or all of the new one.
func replaceFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
