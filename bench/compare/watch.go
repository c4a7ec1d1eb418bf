package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/ringport/ringport"
)

func init() { plays["watch-dir"] = playWatchDir }

// watchDirs is changes of names, made as fast as they are reported.
func watchDirs() contest {
	return contest{
		against: "fsnotify",
		rows: []row{
			{name: "watch-dir", unit: "changes/s", figure: figures.perSecond, goal: 1.0},
			{name: "watch-dir-cpu", unit: "µs CPU a change", figure: figures.cpuMicroseconds, goal: 1.0, atMost: true},
			{name: "watch-dir-missed", unit: "changes missed", figure: figures.missed, atMost: true},
		},
		ours:   sideOf(role{Name: "watch-dir", Engine: "ringport"}),
		theirs: sideOf(role{Name: "watch-dir", Engine: "fsnotify"}),
	}
}

const (
	watchedDirs = 64
	// unreported is how many changes may be made and not yet reported: fewer than the system keeps (16384), so that none need be lost.
	unreported = 8192
)

// changes counts what a watch has reported of files that were created, renamed and removed. Names are used once.
type changes struct {
	created, renamed, removed atomic.Int64
}

func (c *changes) sum() int64 { return c.created.Load() + c.renamed.Load() + c.removed.Load() }

// playWatchDir watches a tree, in which each processor's goroutine creates, renames and removes files, until the time is up and all is reported that
// will be.
func playWatchDir(r role) (figures, error) {
	dir, err := os.MkdirTemp(memory(), "ringport-compare-")
	if err != nil {
		return figures{}, err
	}
	defer os.RemoveAll(dir)
	dirs := make([]string, watchedDirs)
	for i := range dirs {
		dirs[i] = filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(dirs[i], 0o700); err != nil {
			return figures{}, err
		}
	}
	watch := watchTheirs
	if r.Engine == "ringport" {
		watch = watchOurs
	}
	var c changes
	end, err := watch(dir, dirs, &c)
	if err != nil {
		return figures{}, err
	}
	var made atomic.Int64
	meter := startMeter()
	_, err = r.together(runtime.GOMAXPROCS(0), func(i int, stop *atomic.Bool) (int64, error) {
		for n := 0; !stop.Load(); n++ {
			for made.Load()-c.sum() > unreported && !stop.Load() {
				runtime.Gosched()
			}
			old := filepath.Join(dirs[n%watchedDirs], fmt.Sprintf("old-%d-%d", i, n))
			name := filepath.Join(dirs[(n+1)%watchedDirs], fmt.Sprintf("new-%d-%d", i, n))
			f, err := os.OpenFile(old, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err == nil {
				err = errors.Join(f.Close(), os.Rename(old, name), os.Remove(name))
			}
			if err != nil {
				return 0, err
			}
			made.Add(3)
		}
		return 0, nil
	})
	seen, at := c.sum(), time.Now()
	for seen < made.Load() && time.Since(at) < time.Second { // what is not reported for so long will not be
		if now := c.sum(); now != seen {
			seen, at = now, time.Now()
		}
		runtime.Gosched()
	}
	f := meter.stop(c.sum())
	if late := time.Since(at); seen < made.Load() {
		f.Seconds -= late.Seconds()
	}
	f.Missed = float64(made.Load() - seen)
	return f, errors.Join(err, end())
}

// memory is a folder in memory if there is one, so that the watch is measured and not the disk.
func memory() string {
	if _, err := os.Stat("/dev/shm"); err == nil {
		return "/dev/shm"
	}
	return ""
}

func watchOurs(dir string, _ []string, c *changes) (end func() error, err error) {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		for e, err := range m.WatchDir(ctx, dir, ringport.DirOptions{Recursive: true}) {
			switch {
			case err != nil:
				ended <- err
			case e.Op == ringport.DirCreate:
				c.created.Add(1)
			case e.Op == ringport.DirRename:
				c.renamed.Add(1)
			case e.Op == ringport.DirRemove:
				c.removed.Add(1)
			case e.Op == ringport.DirRescan:
				select {
				case begun <- struct{}{}:
				default: // an overflow, which shows in what is missed
				}
			}
		}
	}()
	select {
	case <-begun:
	case err := <-ended:
		cancel()
		return nil, errors.Join(err, m.Close())
	}
	return func() error {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return err
		}
		return m.Close()
	}, nil
}

func watchTheirs(dir string, dirs []string, c *changes) (end func() error, err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	for _, d := range append(dirs, dir) {
		if err := w.Add(d); err != nil {
			return nil, err
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for e := range w.Events {
			switch {
			case e.Has(fsnotify.Create):
				if isNew(e.Name) { // a rename is an event for either name
					c.renamed.Add(1)
				} else {
					c.created.Add(1)
				}
			case e.Has(fsnotify.Remove):
				c.removed.Add(1)
			}
		}
	})
	wg.Go(func() {
		for range w.Errors { // overflows
		}
	})
	return func() error {
		err := w.Close()
		wg.Wait()
		return err
	}, nil
}

func isNew(path string) bool { return strings.HasPrefix(filepath.Base(path), "new-") }
