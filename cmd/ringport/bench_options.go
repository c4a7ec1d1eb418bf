package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringport/ringport"
)

// The values of --direct.
const (
	directAuto  = "auto"  // direct where it is to be had
	directTrue  = "true"  // direct or nothing
	directFalse = "false" // through the page cache
)

// Limits on what one run may ask of the machine.
const (
	maxBufferBytes   = 1 << 30               // depth × block; also the most that one registered buffer may have
	minRoundDuration = 20 * time.Millisecond // below that a round measures its own start
	maxRounds        = 1000
)

// benchOptions is what to measure.
type benchOptions struct {
	file        string
	size        byteSize // zero: the file's own, or the default for one that is made
	block       byteSize
	depth       int
	direct      string
	duration    time.Duration // of measuring, all engines and rounds together
	operations  int64         // in a round; not zero: rounds are counted and not timed
	rounds      int
	rw          string
	pattern     string
	readPercent int
	engines     []string
	overwrite   bool
	verify      bool
	json        bool
	html        string
}

// addFlags declares the flags of bench.
func (o *benchOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.block = 4096
	f.StringVarP(&o.file, "file", "f", "", "file to use, or on Unix block device; a new file is laid out and kept, in a folder a temporary one is "+
		"used (default: a temporary file in the current folder)")
	f.Var(&o.size, "size", "how much of the file to use (default: all of it; a new one gets up to 1 GiB)")
	f.Lookup("size").DefValue = ""
	f.Var(&o.block, "block", "bytes of each operation; k, m and g are powers of 1024")
	f.IntVar(&o.depth, "depth", 32, "operations in flight, 1 to 32768")
	f.StringVar(&o.direct, "direct", directAuto, "go past the page cache: auto, true or false")
	f.Lookup("direct").NoOptDefVal = directTrue
	f.DurationVar(&o.duration, "duration", 16*time.Second, "how long to measure, all engines and rounds together")
	f.Int64Var(&o.operations, "operations", 0, "operations of each engine in each round, instead of --duration")
	f.IntVar(&o.rounds, "rounds", 5, "rounds of each engine; they alternate, and the table shows medians")
	f.StringVar(&o.rw, "rw", "read", "read, write or mixed")
	f.IntVar(&o.readPercent, "read-percent", 70, "reads among the operations of --rw mixed")
	f.StringVar(&o.pattern, "pattern", "random", "random or sequential")
	f.StringSliceVar(&o.engines, "engine", engineNames(), "engines to compare")
	f.BoolVar(&o.overwrite, "overwrite", false, "allow --rw write and mixed to destroy what an existing --file has in it")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line for each engine")
	f.StringVar(&o.html, "html", "", "write a page with plots to this file")
	f.BoolVar(&o.verify, "verify", false, "check the content of every block read (a file that bench made, block a multiple of 512)")
	f.MarkHidden("verify")
}

// check completes o, or says what of it cannot be.
func (o *benchOptions) check() error {
	switch {
	case o.block < 1 || o.block > ringport.MaxTransferBytes:
		return usagef("--block %s: it must be from 1 byte to 1 GiB", o.block.String())
	case o.depth < 1 || o.depth > ringport.MaxDepth:
		return usagef("--depth %d: it must be from 1 to %d", o.depth, ringport.MaxDepth)
	case int64(o.block)*int64(o.depth) > maxBufferBytes:
		return usagef("--block %s with --depth %d: the buffers would take more than %s", o.block.String(), o.depth, formatSize(maxBufferBytes))
	case !slices.Contains([]string{directAuto, directTrue, directFalse}, o.direct):
		return usagef("--direct %s: it must be auto, true or false", o.direct)
	case o.direct == directTrue && o.block%512 != 0:
		return usagef("--block %s: direct I/O needs a multiple of 512 bytes", o.block.String())
	case o.verify && o.block%512 != 0:
		return usagef("--block %s: --verify needs a multiple of 512 bytes", o.block.String())
	case !slices.Contains([]string{"read", "write", "mixed"}, o.rw):
		return usagef("--rw %s: it must be read, write or mixed", o.rw)
	case o.readPercent < 1 || o.readPercent > 99:
		return usagef("--read-percent %d: it must be from 1 to 99", o.readPercent)
	case !slices.Contains([]string{"random", "sequential"}, o.pattern):
		return usagef("--pattern %s: it must be random or sequential", o.pattern)
	case o.rounds < 1 || o.rounds > maxRounds:
		return usagef("--rounds %d: it must be from 1 to %d", o.rounds, maxRounds)
	case o.operations < 0:
		return usagef("--operations %d: it must not be negative", o.operations)
	case o.size != 0 && o.size < o.block:
		return usagef("--size %s is smaller than one block of %s", o.size.String(), o.block.String())
	}
	if err := o.checkEngines(); err != nil {
		return err
	}
	if o.operations == 0 && o.roundDuration() < minRoundDuration {
		return usagef("--duration %v: too short for %d rounds of %d engines; each needs at least %v",
			o.duration, o.rounds, len(o.engines), minRoundDuration)
	}
	return o.checkHTML()
}

func (o *benchOptions) checkEngines() error {
	if len(o.engines) == 0 {
		return usagef("--engine: name at least one of %s", strings.Join(engineNames(), ", "))
	}
	seen := map[string]bool{}
	for _, name := range o.engines {
		if !slices.Contains(engineNames(), name) {
			return usagef("--engine %s: unknown; there are %s", name, strings.Join(engineNames(), ", "))
		}
		if seen[name] {
			return usagef("--engine %s: named twice", name)
		}
		seen[name] = true
	}
	return nil
}

// checkHTML finds out before the run whether the page can be written after it.
func (o *benchOptions) checkHTML() error {
	if o.html == "" {
		return nil
	}
	folder := filepath.Dir(o.html)
	if s, err := os.Stat(folder); err != nil || !s.IsDir() {
		return usagef("--html %s: there is no folder %s", o.html, folder)
	}
	if s, err := os.Stat(o.html); err == nil && !s.Mode().IsRegular() {
		return usagef("--html %s: not a regular file", o.html)
	}
	return nil
}

// roundDuration is how long one round of one engine lasts.
func (o *benchOptions) roundDuration() time.Duration {
	return o.duration / time.Duration(o.rounds*len(o.engines))
}

// reads is the percentage of reads.
func (o *benchOptions) reads() int {
	switch o.rw {
	case "read":
		return 100
	case "write":
		return 0
	}
	return o.readPercent
}

// writes reports whether the run changes the file.
func (o *benchOptions) writes() bool { return o.rw != "read" }
