package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/cmd/ringport/internal/copytree"
	"github.com/ringport/ringport/internal/clock"
)

const cpLong = `Cp copies files and trees, many reads and writes at a time.

A TARGET that is a folder gets the sources into it; else it is the new name of the only one. Modes and times are kept, owners
too for root, and holes, symbolic links and hard links; extended attributes and access lists are not. FIFOs, sockets and
devices are neither copied nor replaced; each is said, and counts as an error. On Windows times, attributes (read-only, hidden,
system, archive) and links are kept; access lists are those of the target's folder, and holes, compression and alternate streams are
not kept. Names of devices are refused, and so are junctions.

A file has a temporary name beside its final one (.ringport-…) until it is complete, and then replaces what had that name: a copy
that fails or is stopped leaves no half file, nor does it spoil the file that was there. An error with one file does not stop
the others; the exit code is 1 then.`

// newCpCommand is "ringport cp".
func newCpCommand() *cobra.Command {
	var o copytree.Options
	quiet := false
	cmd := &cobra.Command{
		Use:   "cp [flags] SOURCE... TARGET",
		Short: "Copy files and trees with a deep queue",
		Long:  cpLong,
		Example: `  ringport cp disk.img /mnt/backup/
  ringport cp --verify --sync photos /mnt/stick`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return errors.New("cp needs a SOURCE and a TARGET")
			case 1:
				return fmt.Errorf("cp needs a TARGET after %s", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return runCp(cmd.Context(), args[:last], args[last], o, quiet, cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Verify, "verify", false, "read originals and copies again, the copies from the disk, and compare checksums")
	flags.BoolVar(&o.Sync, "sync", false, "have everything on the disk before saying done")
	flags.BoolVarP(&quiet, "quiet", "q", false, "say nothing but errors")
	flags.BoolP("recursive", "r", true, "") // what the fingers type: trees are copied in any case
	flags.MarkHidden("recursive")
	return cmd
}

func runCp(ctx context.Context, sources []string, target string, o copytree.Options, quiet bool, w io.Writer) error {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	d := &copyDisplay{w: w, sources: sources, verify: o.Verify, progress: newProgress(w)}
	o.OnError = d.failure
	start := clock.Nanos()
	end := func() {}
	if !quiet {
		end = d.follow(ctx)
	}
	err = copytree.Copy(ctx, m, sources, target, o, &d.copied)
	end()
	var stopped *signalError
	files, bytes := d.copied.Files.Load(), d.copied.Bytes.Load()
	if quiet || err != nil && files == 0 && !errors.As(err, &stopped) {
		return err
	}
	took := time.Duration(clock.Nanos() - start)
	fmt.Fprintf(w, "copied %s, %s in %s, %s/s\n", countFiles(files), humanize.IBytes(uint64(bytes)), formatTook(took),
		humanize.IBytes(uint64(float64(bytes)/max(took.Seconds(), 1e-6))))
	return err
}

func countFiles(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return humanize.Comma(n) + " files"
}

// formatTook is how long something took: 0.31 s, 12.3 s, 1h2m3s.
func formatTook(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// copyDisplay shows how far a copy is: a bar on a terminal, a line now and then elsewhere.
type copyDisplay struct {
	w        io.Writer
	sources  []string
	verify   bool // each byte is copied and compared
	copied   copytree.Progress
	progress progress

	mu     sync.Mutex // over what follows, and what is written
	staged bool       // the bar is there
	total  copyTotal
	rate   copyRate
}

// copyTotal is how much there is to do, once that is known.
type copyTotal struct {
	known        bool
	files, bytes int64
}

const (
	showEvery  = 100 * time.Millisecond
	linesEvery = 50              // of these, where there is no bar
	showAfter  = 1 * time.Second // what takes no longer needs no display
)

// follow shows the copy until the function that it returns is called.
func (d *copyDisplay) follow(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var shows sync.WaitGroup
	shows.Go(func() {
		select {
		case <-time.After(showAfter):
		case <-ctx.Done():
			return
		}
		// Only now, so that it costs short copies nothing. It reads what the copy is going to read as well.
		shows.Go(func() {
			files, bytes := copytree.Measure(ctx, d.sources)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.total = copyTotal{ctx.Err() == nil, files, bytes}
		})
		ticker := time.NewTicker(showEvery)
		defer ticker.Stop()
		for i := 1; ; i++ {
			select {
			case <-ticker.C:
				d.show(time.Now(), i%linesEvery == 0)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		shows.Wait()
		d.progress.end()
	}
}

// show says where the copy is at now.
func (d *copyDisplay) show(now time.Time, line bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done, total := d.copied.Moved.Load()+d.copied.Verified.Load(), d.total.bytes
	if d.verify {
		total *= 2
	}
	d.rate.add(now, done)
	text := d.rate.text(d.copied.Files.Load(), done, total, d.total)
	if !d.staged && d.total.known {
		d.staged = true
		d.progress.stage("copying "+countFiles(d.total.files)+", "+humanize.IBytes(uint64(d.total.bytes)), max(total, 1))
	}
	d.progress.at(done, text)
	if line {
		d.progress.line(text)
	}
}

// failure says what could not be copied, where the bar was.
func (d *copyDisplay) failure(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.progress.end()
	d.staged = false
	fmt.Fprintln(d.w, "ringport cp:", err)
}

// copyRate is how fast a copy is of late, in bytes a second.
type copyRate struct {
	at     time.Time
	done   int64
	perSec float64
}

// rateMemory is for how long about a rate is remembered.
const rateMemory = 5 * time.Second

// add notes how much is done at a time.
func (r *copyRate) add(now time.Time, done int64) {
	if r.at.IsZero() {
		r.at, r.done = now, done
		return
	}
	d := now.Sub(r.at)
	if d <= 0 {
		return
	}
	latest := float64(done-r.done) / d.Seconds()
	if r.perSec == 0 {
		r.perSec = latest
	}
	weight := min(float64(d)/float64(rateMemory), 1)
	r.perSec += weight * (latest - r.perSec)
	r.at, r.done = now, done
}

// text is a line such as "1,234 of 20,000 files  51 MiB/s  12s left".
func (r *copyRate) text(files, done, total int64, t copyTotal) string {
	text := humanize.Comma(files)
	if t.known {
		text += " of " + countFiles(t.files)
	} else {
		text += " files"
	}
	text += "  " + humanize.IBytes(uint64(r.perSec)) + "/s"
	if t.known && r.perSec >= 1 {
		left := time.Duration(float64(max(total-done, 0)) / r.perSec * float64(time.Second))
		text += "  " + left.Round(time.Second).String() + " left"
	}
	return text
}
