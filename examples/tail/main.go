// Tail shows the end of a file, and then what is appended to it, until Ctrl-C.
//
//	go run ./examples/tail [-n LINES] FILE
//
// It follows the name: a file that takes the place of the one that was opened, as when logs are rotated, is shown from its start, and so is one that
// was cut. Every wait ends with one context, which Ctrl-C ends.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/ringport/ringport"
)

func main() {
	lines := flag.Int("n", 10, "how many `lines` of what is there to show")
	flag.Parse()
	if flag.NArg() != 1 || *lines < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *lines); err != nil {
		fmt.Fprintln(os.Stderr, "tail:", err)
		os.Exit(1)
	}
}

// run follows the file until a console event comes.
func run(name string, lines int) error {
	m, err := ringport.Default()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	stop := m.HandleConsole(func(ringport.ConsoleEvent) {
		cancel()
		<-done // where the window is closed, Windows ends the process when this returns
	})
	defer stop()
	defer close(done)
	defer cancel()
	t := &tail{m: m, name: name, out: ringport.Stdout().WithContext(ctx)}
	defer t.close()
	if err := t.follow(ctx, lines); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// lookEvery is how long it takes until something new is noticed.
const lookEvery = 200 * time.Millisecond

// tail is a name that is followed.
type tail struct {
	m    *ringport.Manager
	name string
	out  io.Writer

	f   *ringport.File
	off int64 // up to where it was shown
}

// follow shows the last lines and what comes after them. It returns with an error, the context's if nothing else happens.
func (t *tail) follow(ctx context.Context, lines int) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	if err := t.seekLines(lines); err != nil {
		return err
	}
	tick := make(chan struct{}, 1)
	timer := t.m.AfterFunc(lookEvery, func() { tick <- struct{}{} })
	defer timer.Stop()
	for {
		if err := t.show(); err != nil {
			return err
		}
		replaced, err := t.replaced(ctx)
		if err != nil {
			return err
		}
		if replaced {
			if err := t.show(); err != nil { // what was written before the other took its place
				return err
			}
			if err := t.open(ctx); err == nil {
				continue
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		select {
		case <-tick:
			timer.Reset(lookEvery)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open opens what has the name now, to be shown from its start, and closes what it was.
func (t *tail) open(ctx context.Context) error {
	f, err := t.m.Open(ctx, t.name)
	if err != nil {
		return err
	}
	t.close()
	t.f, t.off = f.WithContext(ctx), 0
	return nil
}

func (t *tail) close() {
	if t.f != nil {
		t.f.Close()
	}
}

// show writes what is new.
func (t *tail) show() error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < t.off {
		fmt.Fprintf(os.Stderr, "tail: %s was cut\n", t.name)
		t.off = 0
	}
	n, err := io.Copy(t.out, io.NewSectionReader(t.f, t.off, 1<<62))
	t.off += n
	return err
}

// replaced reports whether the name is another file's now. If it is nobody's, that may still come.
func (t *tail) replaced(ctx context.Context) (bool, error) {
	info, err := t.f.Stat()
	if err != nil {
		return false, err
	}
	ours := info.Sys().(*ringport.FileStat)
	var now ringport.FileStat
	op := ringport.StatAt(ringport.CurrentDir, t.name, 0, &now)
	if _, err := t.m.Do(ctx, &op); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	return now.Inode != ours.Inode || now.Device != ours.Device, nil
}

// seekLines goes back from the end of the file by that many lines.
func (t *tail) seekLines(lines int) error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	if lines == 0 {
		t.off = info.Size()
		return nil
	}
	block := make([]byte, 64<<10)
	for at := info.Size(); at > 0; {
		from := max(at-int64(len(block)), 0)
		n, err := t.f.ReadAt(block[:at-from], from)
		if err != nil && err != io.EOF {
			return err
		}
		part := block[:n]
		for i := bytes.LastIndexByte(part, '\n'); i >= 0; i = bytes.LastIndexByte(part[:i], '\n') {
			if from+int64(i)+1 == info.Size() { // the last line's own
				continue
			}
			if lines--; lines == 0 {
				t.off = from + int64(i) + 1
				return nil
			}
		}
		at = from
	}
	return nil
}
