package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/cmd/ringport/internal/copytree"
)

func newCpCommand() *cobra.Command {
	var o copytree.Options
	quiet := false
	cmd := &cobra.Command{
		Use:   "cp [flags] SOURCE... TARGET",
		Short: "Copy files and trees with a deep queue",
		Long: `Copies files and trees, many reads and writes at a time. Modes, times, symbolic links, hard links and holes are kept.
A copy that fails or is stopped leaves nothing under the final name. An error with one file does not stop the others.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCp(cmd.Context(), args[:len(args)-1], args[len(args)-1], o, quiet, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&o.Verify, "verify", false, "read the copies back from the disk and compare checksums")
	cmd.Flags().BoolVar(&o.Sync, "sync", false, "have everything on the disk before saying done")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing but errors")
	return cmd
}

func runCp(ctx context.Context, sources []string, target string, o copytree.Options, quiet bool, w io.Writer) error {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	var printing sync.Mutex
	o.OnError = func(err error) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Fprintln(w, "ringport cp:", err)
	}
	var p copytree.Progress
	start := time.Now()
	show := newCopyDisplay(w, quiet, &printing)
	stop := show.follow(&p)
	err = copytree.Copy(ctx, m, sources, target, o, &p)
	stop()
	var stopped *signalError
	if quiet || err != nil && !errors.As(err, &stopped) && p.Files.Load() == 0 {
		return err
	}
	bytes, seconds := p.Bytes.Load(), time.Since(start).Seconds()
	fmt.Fprintf(w, "copied %s files, %s, in %.1f s, %s/s\n", humanize.Comma(p.Files.Load()), humanize.IBytes(uint64(bytes)), seconds,
		humanize.IBytes(uint64(float64(bytes)/seconds)))
	return err
}

// copyDisplay shows how far a copy is: a live bar with rate and time left on a terminal, a line now and then elsewhere.
type copyDisplay struct {
	w        io.Writer
	printing *sync.Mutex
	bar      *progressbar.ProgressBar
	every    time.Duration // zero: never
}

func newCopyDisplay(w io.Writer, quiet bool, printing *sync.Mutex) *copyDisplay {
	d := &copyDisplay{w: w, printing: printing}
	switch {
	case quiet:
	case isTerminal(w):
		d.every = 100 * time.Millisecond
		d.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true),
			progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetDescription("copying"))
	default:
		d.every = 5 * time.Second
	}
	return d
}

// follow shows p until the function it returns is called.
func (d *copyDisplay) follow(p *copytree.Progress) (stop func()) {
	if d.every == 0 {
		return func() {}
	}
	ticker, done, ended := time.NewTicker(d.every), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				d.show(p)
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-ended
		if d.bar != nil {
			d.bar.Clear()
		}
	}
}

func (d *copyDisplay) show(p *copytree.Progress) {
	d.printing.Lock()
	defer d.printing.Unlock()
	done, found := p.Bytes.Load(), p.BytesFound.Load()
	if d.bar == nil {
		fmt.Fprintf(d.w, "%s of %s files, %s of %s\n", humanize.Comma(p.Files.Load()), humanize.Comma(p.FilesFound.Load()),
			humanize.IBytes(uint64(done)), humanize.IBytes(uint64(found)))
		return
	}
	d.bar.ChangeMax64(max(found, done+1)) // never full before the end, which clears it
	d.bar.Describe(fmt.Sprintf("copying %s of %s files", humanize.Comma(p.Files.Load()), humanize.Comma(p.FilesFound.Load())))
	d.bar.Set64(done)
}
