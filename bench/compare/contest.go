package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// figures is what one side of a pair measured.
type figures struct {
	Operations  float64 `json:"operations"`
	Seconds     float64 `json:"seconds"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	Allocations float64 `json:"allocations"` // a role's: of its whole process
	Missed      float64 `json:"missed"`      // changes that a watch did not report
	Bytes       float64 `json:"bytes"`       // of memory
}

func (f figures) perSecond() float64       { return f.Operations / f.Seconds }
func (f figures) cpuMicroseconds() float64 { return f.CPUSeconds * 1e6 / f.Operations }
func (f figures) nanoseconds() float64     { return f.Seconds * 1e9 / f.Operations }
func (f figures) seconds() float64         { return f.Seconds }
func (f figures) missed() float64          { return f.Missed }
func (f figures) bytesEach() float64       { return math.Round(f.Bytes / f.Operations) }

// cpuMilliseconds is how busy the processor was, in whole milliseconds a second: Go's runtime has something to do now and then.
func (f figures) cpuMilliseconds() float64 { return math.Round(f.CPUSeconds * 1e3 / f.Seconds) }

// allocations is to a tenth of one an operation: the runtime itself allocates a little too.
func (f figures) allocations() float64 { return math.Round(10*f.Allocations/f.Operations) / 10 }

// row is one figure of a contest.
type row struct {
	name   string
	unit   string
	figure func(figures) float64
	// The goal for ours/theirs; atMost: it is a ceiling, and a ceiling of 0 wants ours to be 0.
	goal   float64
	atMost bool
	// absolute: the goal is for ours alone.
	absolute bool
	// inverse: the figure is a time and the goal a speed, so that the ratio is theirs/ours.
	inverse bool
}

func (r row) goalText() string {
	sign, text := "≥", fmt.Sprintf("%.2f ×", r.goal)
	if r.atMost {
		sign = "≤"
	}
	if r.absolute {
		text = fmt.Sprint(r.goal)
	}
	return sign + " " + text
}

// met reports whether a median of ours, and a ratio, are what the goal wants.
func (r row) met(ours, ratio float64) bool {
	value := ratio
	if r.absolute {
		value = ours
	}
	if r.atMost {
		return value <= r.goal
	}
	return value >= r.goal
}

// contest is a piece of work that both sides do, and the rows it fills.
type contest struct {
	against      string
	rows         []row
	ours, theirs func(e *environment) (figures, error)
}

// errMissing says that a peer is not installed.
type errMissing struct{ what string }

func (e errMissing) Error() string { return e.what }

// hold runs both sides in turn, and each first every other time, so that what one leaves behind helps or harms both alike.
func (e *environment) hold(c contest, runs int) []result {
	var both [2][]figures
	sides := [2]func(*environment) (figures, error){c.theirs, c.ours}
	var err error
	for i := 0; i < 2*runs && err == nil; i++ {
		side := (i + i/2) % 2 // theirs, ours, ours, theirs
		var f figures
		if f, err = sides[side](e); err == nil {
			both[side] = append(both[side], f)
		}
	}
	theirs, ours := both[0], both[1]
	results := make([]result, len(c.rows))
	for i, r := range c.rows {
		out := result{Name: r.name, Unit: r.unit, Goal: r.goalText(), Runs: len(ours), Against: c.against}
		var missing errMissing
		switch {
		case errors.As(err, &missing):
			out.Missing = missing.what
		case err != nil:
			out.Error = err.Error()
		default:
			var a, b, ratios []float64
			for k := range ours {
				x, y := r.figure(ours[k]), r.figure(theirs[k])
				a, b = append(a, x), append(b, y)
				if r.inverse {
					x, y = y, x
				}
				ratio := x / y
				if x == 0 { // times anything, 0 included
					ratio = 0
				}
				ratios = append(ratios, ratio)
			}
			out.Ours, out.Theirs, out.Ratio = median(a), median(b), median(ratios)
			out.Met = r.met(out.Ours, out.Ratio)
		}
		results[i] = out
	}
	return results
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// environment is what all contests share: a folder on the disk to be measured, and what was built for them once.
type environment struct {
	ctx     context.Context
	dir     string
	seconds float64
	data    string // the file to read, once made
	built   map[string]string
}

func newEnvironment(ctx context.Context, dir string, seconds float64) (*environment, error) {
	tmp, err := os.MkdirTemp(dir, ".compare-")
	if err != nil {
		return nil, err
	}
	if tmp, err = filepath.Abs(tmp); err != nil {
		return nil, err
	}
	return &environment{ctx: ctx, dir: tmp, seconds: seconds, built: map[string]string{}}, nil
}

func (e *environment) close() { os.RemoveAll(e.dir) }

const dataBytes = 1 << 30

// dataFile makes the file that is read: random data, really on the disk.
func (e *environment) dataFile() (string, error) {
	if e.data != "" {
		return e.data, nil
	}
	name := filepath.Join(e.dir, "data")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	rand.Read(block)
	for i := range dataBytes / len(block) {
		block[0] = byte(i)
		if _, err := f.Write(block); err != nil {
			return "", err
		}
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	e.data = name
	return name, nil
}

const roleVariable = "RINGPORT_COMPARE_ROLE"

// self is the command that runs this program: on Windows, or under Wine, if asked for.
func (e *environment) self(windows bool) ([]string, error) {
	if windows && runtime.GOOS != "windows" {
		return e.underWine()
	}
	self, err := os.Executable()
	return []string{self}, err
}

// role runs one side in a process of its own: this very program, told what to play.
func (e *environment) role(r role) (figures, error) {
	if r.File == "" && r.NeedsData {
		name, err := e.dataFile()
		if err != nil {
			return figures{}, err
		}
		r.File = name
	}
	r.Seconds = e.seconds
	text, err := json.Marshal(r)
	if err != nil {
		return figures{}, err
	}
	self, err := e.self(r.Windows)
	if err != nil {
		return figures{}, err
	}
	cmd := exec.CommandContext(e.ctx, self[0], self[1:]...)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), roleVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	return parse(cmd)
}

// parse runs a command that prints figures as JSON.
func parse(cmd *exec.Cmd) (f figures, err error) {
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return f, json.Unmarshal(out, &f)
}

// timed runs a command and takes its whole time, CPU included.
func timed(cmd *exec.Cmd) (figures, error) {
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return figures{}, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return figures{Operations: 1, Seconds: time.Since(start).Seconds(), CPUSeconds: cpu.Seconds()}, nil
}
