package ringport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// replay is what somebody knows of a directory who applies events to what he listed last.
type replay struct {
	dir     string
	top     known
	rescans int
}

// known is what a replay knows to be below a name.
type known map[string]known

func (k known) find(path string) (parent known, name string) {
	for parts := strings.Split(path, string(filepath.Separator)); ; parts = parts[1:] {
		if k == nil || len(parts) == 1 {
			return k, parts[0]
		}
		k = k[parts[0]]
	}
}

func (k known) create(path string) {
	if parent, name := k.find(path); parent != nil && parent[name] == nil {
		parent[name] = known{}
	}
}

func (k known) remove(path string) {
	parent, name := k.find(path)
	delete(parent, name)
}

func (k known) rename(old, path string) {
	from, oldName := k.find(old)
	to, name := k.find(path)
	if what := from[oldName]; what != nil && to != nil {
		to[name] = what
	} else {
		k.create(path)
	}
	delete(from, oldName)
}

// paths are all that is known, sorted.
func (k known) paths() []string {
	var all []string
	var walk func(prefix string, k known)
	walk = func(prefix string, k known) {
		for name, below := range k {
			all = append(all, prefix+name)
			walk(prefix+name+string(filepath.Separator), below)
		}
	}
	walk("", k)
	slices.Sort(all)
	return all
}

// list is what there is in dir. What vanishes while it is listed may or may not be in it.
func list(t testing.TB, dir string) known {
	t.Helper()
	k := known{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			rel, _ := filepath.Rel(dir, path)
			k.create(rel)
		}
		if errors.Is(err, fs.ErrNotExist) || isBusy(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return k
}

// apply does to what is known what e says.
func (r *replay) apply(t testing.TB, e DirEvent) {
	switch e.Op {
	case DirRescan:
		r.rescans++
		r.top = list(t, r.dir)
	case DirCreate:
		r.top.create(e.Name)
	case DirRemove:
		r.top.remove(e.Name)
	case DirRename:
		r.top.rename(e.OldName, e.Name)
	}
}

// check compares what is known with what there is.
func (r *replay) check(t testing.TB) {
	t.Helper()
	got, want := r.top.paths(), list(t, r.dir).paths()
	if slices.Equal(got, want) {
		return
	}
	for _, path := range got {
		if _, ok := slices.BinarySearch(want, path); !ok {
			t.Errorf("%s was not removed", path)
		}
	}
	for _, path := range want {
		if _, ok := slices.BinarySearch(got, path); !ok {
			t.Errorf("%s was not created", path)
		}
	}
}

// marker is a file that tells how far the events have come. Nobody else uses the name.
func marker(n int) string { return fmt.Sprintf(".marker-%d", n) }

// replayDuring applies the events of what work does, which begins when dir is watched.
//
// Where a watch that lags behind loses changes (lagLoses), work calls breathe now and then.
func replayDuring(t testing.TB, m *Manager, dir string, work func(breathe func())) *replay {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r := &replay{dir: dir}
	worked := make(chan struct{})
	last, over := 0, false
	mark := func(n int) {
		if err := os.WriteFile(filepath.Join(dir, marker(n)), nil, 0o666); err != nil {
			t.Error(err)
		}
	}
	var breaths atomic.Int64
	breathe := func() {
		if !lagLoses {
			return
		}
		breath := filepath.Join(dir, fmt.Sprint(".breath-", breaths.Add(1))) // which the loop below removes
		if err := os.WriteFile(breath, nil, 0o666); err != nil {
			t.Error(err)
		}
		if err := eventually(func() error {
			if os.Chtimes(breath, time.Time{}, time.Now()) == nil { // one change more, if the watch has not woken up
				return errors.New("nobody has seen " + breath)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	for e, err := range m.WatchDir(ctx, dir, DirOptions{Recursive: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Op == DirCreate && strings.HasPrefix(e.Name, ".breath-") {
			os.Remove(filepath.Join(dir, e.Name))
		}
		if r.apply(t, e); e.Op == DirRescan && r.rescans == 1 {
			go func() {
				work(breathe)
				mark(0)
				close(worked)
				os.Chtimes(filepath.Join(dir, marker(0)), time.Time{}, time.Now()) // wakes the loop
			}()
		}
		if over && e.Op == DirCreate && e.Name == marker(last) {
			break // what happened before this was reported before this
		}
		select {
		case <-worked:
			if !over || e.Op == DirRescan { // the last marker may be among what was lost
				last, over = last+1, true
				mark(last)
			}
		default:
		}
	}
	return r
}

// churn makes files in dir, renames them and removes most, from several goroutines, each of which makes directories, renames and removes them as well.
func churn(t testing.TB, dir string, files int, breathe func()) {
	const workers = 4
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			dirs := []string{dir}
			for n := range files / workers {
				old := filepath.Join(dirs[random.IntN(len(dirs))], fmt.Sprintf("old-%d-%d", i, n))
				path := filepath.Join(dirs[random.IntN(len(dirs))], fmt.Sprintf("new-%d-%d", i, n))
				err := os.WriteFile(old, nil, 0o666)
				if err == nil {
					err = os.Rename(old, path)
				}
				if err == nil && n%16 != 0 {
					err = os.Remove(path)
				}
				if n%64 == 0 {
					breathe()
				}
				if err == nil && n%64 == 0 {
					dirs, err = churnDirs(dirs, fmt.Sprintf("dir-%d-%d", i, n), random)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// churnDirs makes a directory somewhere in dirs, and at times renames or removes another one with all that is in it.
func churnDirs(dirs []string, name string, random *rand.Rand) ([]string, error) {
	parent := dirs[random.IntN(len(dirs))]
	if len(parent) > len(dirs[0])+100 {
		parent = dirs[0]
	}
	made := filepath.Join(parent, name)
	if err := os.MkdirAll(filepath.Join(made, "below"), 0o777); err != nil {
		return dirs, err
	}
	dirs = append(dirs, made, filepath.Join(made, "below"))
	victim := dirs[random.IntN(len(dirs))]
	within := func(dir string) bool {
		return dir == victim || strings.HasPrefix(dir, victim+string(filepath.Separator))
	}
	switch {
	case victim == dirs[0] || !movesWatched:
	case random.IntN(4) == 0:
		if err := os.RemoveAll(victim); err != nil {
			return dirs, err
		}
		dirs = slices.DeleteFunc(dirs, within)
	case random.IntN(4) == 0:
		renamed := filepath.Join(dirs[0], "renamed-"+name)
		if err := os.Rename(victim, renamed); err != nil {
			return dirs, err
		}
		for i, dir := range dirs {
			if within(dir) {
				dirs[i] = renamed + strings.TrimPrefix(dir, victim)
			}
		}
	}
	return dirs, nil
}

// TestWatchDir_Replay: what is known by the events is what there is, after 100,000 files were made, renamed and removed.
func TestWatchDir_Replay(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		r := replayDuring(t, open(t, c), dir, func(breathe func()) { churn(t, dir, watchedFiles, breathe) })
		r.check(t)
		t.Logf("%d names at the end, %d rescans", len(r.top.paths()), r.rescans)
	})
}
