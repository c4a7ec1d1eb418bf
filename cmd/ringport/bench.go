package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

const benchLong = `Bench measures what a deep queue does on a disk, next to what os.File does.

With no flag it makes a temporary file in the current folder, does 4 KiB random direct reads at depth 32 for about twenty
seconds, prints a table and removes the file. The engines alternate in short rounds, each in a process of its own; throughput
and processor time are medians over the rounds, latencies are those of all rounds together.

Engines:
`

// newBenchCommand is "ringport bench".
func newBenchCommand() *cobra.Command {
	var o benchOptions
	long := benchLong
	for _, k := range engineKinds {
		long += fmt.Sprintf("  %-10s %s\n", k.name, k.short)
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure random or sequential reads and writes, engines side by side",
		Long:  long,
		Example: `  ringport bench
  ringport bench --file /mnt/data --depth 128 --html report.html
  ringport bench --file /dev/nvme0n1 --engine osfile,loop --duration 30s
  ringport bench --rw mixed --read-percent 70 --block 16k --json`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			b := &bench{o: &o, progress: newProgress(cmd.ErrOrStderr())}
			return b.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	o.addFlags(cmd)
	return cmd
}

// bench is one run of the command.
type bench struct {
	o        *benchOptions
	progress progress
	file     *benchFile
	engines  []*engineProcess
	tallies  []*tally // by engine
}

// run measures and reports. When ctx ends it reports what was measured until then, and returns the context's cause.
func (b *bench) run(ctx context.Context, out io.Writer) (err error) {
	defer b.progress.end()
	if b.file, err = openBenchFile(b.o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.file.close()) }()
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.layOut(ctx); err != nil {
		return err
	}
	rounds, runErr := b.rounds(ctx)
	b.progress.end()
	if rounds == 0 && runErr != nil {
		return runErr
	}
	return errors.Join(runErr, b.report(out), b.errors())
}

// start starts the engines' processes.
func (b *bench) start(ctx context.Context) error {
	for _, name := range b.o.engines {
		spec := engineSpec{Engine: name, Name: b.file.title, Block: int64(b.o.block), Depth: b.o.depth,
			ReadPercent: b.o.reads(), Sequential: b.o.pattern == "sequential", Verify: b.o.verify}
		p, err := startEngine(ctx, spec, b.file)
		if err != nil {
			return err
		}
		b.engines = append(b.engines, p)
		b.tallies = append(b.tallies, newTally(name, p.info))
	}
	return nil
}

func (b *bench) stop() {
	for _, p := range b.engines {
		p.end() // what it has to say it has said
	}
}

// layOut makes the content of a new file.
func (b *bench) layOut(ctx context.Context) error {
	if !b.file.layOut {
		return nil
	}
	b.progress.stage("laying out "+b.file.title, b.file.size)
	return b.file.fill(ctx, int64(b.o.block), func(n int64) { b.progress.at(n, "laying out the file: "+formatSize(n)) })
}

// warmUp is how long an engine runs before it is measured: its threads are made, its code is loaded.
const warmUp = 200 * time.Millisecond

// rounds runs all rounds, the engines in turn, and returns how many were measured.
func (b *bench) rounds(ctx context.Context) (measured int, err error) {
	how := roundSpec{Size: b.file.size, Operations: b.o.operations}
	if how.Operations == 0 {
		how.Nanos = int64(b.o.roundDuration())
	}
	total := int64(b.o.rounds * len(b.engines))
	b.progress.stage("measuring "+b.o.workTitle(b.file), total*1000)
	if how.Operations == 0 {
		for _, p := range b.engines {
			b.progress.at(0, "warming up "+p.name)
			short := roundSpec{Size: how.Size, Nanos: min(int64(warmUp), how.Nanos)}
			if _, _, err := p.round(ctx, short, func(sample) {}); err != nil {
				return 0, err
			}
		}
	}
	for i := range int(total) {
		if ctx.Err() != nil {
			return measured, context.Cause(ctx)
		}
		// Each time round another engine begins, so that none always follows the same one.
		number, n := i/len(b.engines), len(b.engines)
		which := (i + number) % n
		if err := b.round(ctx, which, number, how, i); err != nil {
			return measured, err
		}
		measured++
	}
	return measured, context.Cause(ctx)
}

// round runs one round of one engine; before it, so many others were run.
func (b *bench) round(ctx context.Context, which, number int, how roundSpec, before int) error {
	p := b.engines[which]
	name := fmt.Sprintf("round %d/%d  %-8s", number+1, b.o.rounds, p.name)
	b.progress.at(int64(before)*1000, name)
	res, hist, err := p.round(ctx, how, func(s sample) {
		part := float64(s.Nanos) / float64(how.Nanos)
		if how.Operations != 0 {
			part = float64(s.Operations) / float64(how.Operations)
		}
		rate := float64(s.Operations) / float64(s.Nanos) * 1e9
		b.progress.at(int64(1000*(float64(before)+min(part, 1))), name+"  "+operationsPerSecond(rate))
	})
	if err != nil {
		return err
	}
	b.tallies[which].add(res, hist)
	b.progress.line(name + "  " + operationsPerSecond(rateOf(res)))
	return nil
}

func operationsPerSecond(rate float64) string { return humanize.Comma(int64(rate+0.5)) + " op/s" }

// errors is the failure of operations, as the command's failure.
func (b *bench) errors() error {
	for _, t := range b.tallies {
		if t.errors > 0 {
			return fmt.Errorf("engine %s: %s of its operations failed, the first with: %s", t.engine, humanize.Comma(t.errors), t.firstError)
		}
	}
	return nil
}
