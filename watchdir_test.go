//go:build linux || windows

package ringport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// replay is what somebody knows of a directory who applies events to what he listed last.
type replay struct {
	dir     string
	top     known
	rescans int
	twice   []string // names that were created although they were known
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
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || isBusy(err) {
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
		if parent, name := r.top.find(e.Name); parent[name] != nil {
			r.twice = append(r.twice, e.Name)
		}
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience.Limit)
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
	var held sync.Map // what breathe waits for, by the name of the file that is to be seen
	breathe := func() {
		if !lagLoses {
			return
		}
		name, seen := fmt.Sprint(".breath-", breaths.Add(1)), make(chan struct{})
		held.Store(name, seen)
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666))
		select {
		case <-seen:
			must(t, os.Remove(filepath.Join(dir, name)))
		case <-ctx.Done():
			t.Error("nobody has seen", name)
		}
	}
	for e, err := range m.WatchDir(ctx, dir, DirOptions{Recursive: true}) {
		if err != nil {
			t.Fatal(err)
		}
		held.Range(func(name, seen any) bool {
			if e.Op == DirRescan || e == (DirEvent{DirCreate, name.(string), ""}) {
				close(seen.(chan struct{}))
				held.Delete(name)
			}
			return true
		})
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
					dirs, err = churnDirs(dirs, fmt.Sprintf("dir-%d-%d", i, n), random, breathe)
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
func churnDirs(dirs []string, name string, random *rand.Rand, breathe func()) ([]string, error) {
	parent := dirs[random.IntN(len(dirs))]
	if len(parent) > len(dirs[0])+100 {
		parent = dirs[0]
	}
	for _, below := range []string{name, "below"} {
		parent = filepath.Join(parent, below)
		if err := os.Mkdir(parent, 0o777); err != nil {
			return dirs, err
		}
		breathe()
		dirs = append(dirs, parent)
	}
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
	files := lessUnderRace(watchedFiles)
	forEach(t, func(t *testing.T, c Config) {
		dir := quickDir(t)
		r := replayDuring(t, open(t, c), dir, func(breathe func()) { churn(t, dir, files, breathe) })
		r.check(t)
		t.Logf("%d names at the end, %d rescans", len(r.top.paths()), r.rescans)
		for _, name := range r.twice { // what is moved in may have been listed; what is made is not to be copied twice
			if createdOnce && r.rescans == 1 && strings.HasPrefix(filepath.Base(name), "old-") {
				t.Error("created twice:", name)
			}
		}
	})
}

// TestWatchDir_ChangedWhileListed: changes before, during and after a listing are reported after it, and lead from what was listed to what there is.
func TestWatchDir_ChangedWhileListed(t *testing.T) {
	if lagLoses {
		t.Skip("Wine does not report what happens in directories that are older than the watch")
	}
	forEach(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		at := func(name ...string) string { return filepath.Join(append([]string{dir}, name...)...) }
		must(t, errors.Join(os.MkdirAll(at("a", "b"), 0o777), os.WriteFile(at("a", "1"), nil, 0o666), os.WriteFile(at("a", "b", "2"), nil, 0o666)))
		r := &replay{dir: dir}
		for e, err := range open(t, c).WatchDir(t.Context(), dir, DirOptions{Recursive: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Op == DirRescan {
				must(t, os.Rename(at("a"), at("c")))
			}
			if r.apply(t, e); e.Op == DirRescan {
				must(t, errors.Join(os.Remove(at("c", "1")), os.Rename(at("c", "b"), at("a")), os.Remove(at("a", "2")), os.Mkdir(at("c", "d"), 0o777)))
				must(t, os.WriteFile(at(marker(0)), nil, 0o666))
			}
			if e == (DirEvent{DirCreate, marker(0), ""}) {
				break
			}
		}
		r.check(t)
	})
}

// TestWatchDir_SeenWhenReported: who looks into a new directory when it is reported is told of all that is changed there after that.
func TestWatchDir_SeenWhenReported(t *testing.T) {
	if lagLoses {
		t.Skip("Wine does not report what happens in directories that are older than the watch")
	}
	forEach(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		at := func(name ...string) string { return filepath.Join(append([]string{dir}, name...)...) }
		removed := false
		for e, err := range open(t, c).WatchDir(t.Context(), dir, DirOptions{Recursive: true}) {
			if err != nil {
				t.Fatal(err)
			}
			switch e {
			case DirEvent{DirRescan, "", ""}:
				must(t, os.MkdirAll(at("a", "b"), 0o777))
			case DirEvent{DirCreate, "a", ""}:
				must(t, os.MkdirAll(at("a", "b"), 0o777)) // if the event was faster
				must(t, errors.Join(os.Rename(at("a", "b"), at("c")), os.WriteFile(at("end"), nil, 0o666)))
			}
			removed = removed || e == DirEvent{DirRemove, filepath.Join("a", "b"), ""} || e.Op == DirRename && e.OldName == filepath.Join("a", "b")
			if e == (DirEvent{DirCreate, "end", ""}) {
				break
			}
		}
		if !removed {
			t.Error("what was in the directory when it was reported is not there any more, and no event has said so")
		}
	})
}

// stories runs steps one after another, each when all events of the one before are known, and returns the events of each step but those that
// keep decides to leave out; nil: none.
func stories(t testing.TB, m *Manager, dir string, options DirOptions, keep func(DirEvent) bool, steps ...func()) [][]DirEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience.Limit)
	defer cancel()
	all := make([][]DirEvent, len(steps))
	next, marks := 0, 0
	mark := func() {
		marks++
		if err := os.WriteFile(filepath.Join(dir, marker(marks)), nil, 0o666); err != nil {
			t.Error(err)
		}
	}
	for e, err := range m.WatchDir(ctx, dir, options) {
		switch {
		case err != nil:
			t.Fatal(err)
		case strings.HasPrefix(e.Name, ".marker-"):
			if e.Op != DirCreate || e.Name != marker(marks) {
				continue
			}
			// When the second one is reported, everything that the first one's batch has listed is known to be old.
			if marks%2 == 0 {
				if next == len(steps) {
					return all
				}
				next++
				steps[next-1]()
			}
			mark()
		case next > 0:
			if keep == nil || keep(e) {
				all[next-1] = append(all[next-1], e)
			}
		case e.Op == DirRescan:
			mark()
		default:
			t.Errorf("%v before anything was done", e)
		}
	}
	return all
}

// noWrites leaves out what systems report differently: changes of what is under a name, above all of directories.
func noWrites(e DirEvent) bool { return e.Op != DirWrite && e.Op != DirAttribute }

// TestWatchDir_Names: what happens to names, on every system the same.
func TestWatchDir_Names(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		wide, inSub := "Ünïcödé-\u20ac-\U0001F600-"+strings.Repeat("x", 150), filepath.Join("sub", "inside")
		steps := []struct {
			do   func() error
			want []DirEvent
		}{
			{func() error { return os.WriteFile(at("a"), nil, 0o666) }, []DirEvent{{DirCreate, "a", ""}}},
			{func() error { return os.Rename(at("a"), at("b")) }, []DirEvent{{DirRename, "b", "a"}}},
			{func() error { return os.Rename(at("b"), at("a")) }, []DirEvent{{DirRename, "a", "b"}}},
			{func() error { return os.Remove(at("a")) }, []DirEvent{{DirRemove, "a", ""}}},
			{func() error { return os.WriteFile(at(wide), nil, 0o666) }, []DirEvent{{DirCreate, wide, ""}}},
			{func() error { return os.Remove(at(wide)) }, []DirEvent{{DirRemove, wide, ""}}},
			{func() error { return os.Mkdir(at("sub"), 0o777) }, []DirEvent{{DirCreate, "sub", ""}}},
			{func() error { return os.WriteFile(at(inSub), nil, 0o666) }, []DirEvent{{DirCreate, inSub, ""}}},
			{func() error { return os.Remove(at(inSub)) }, []DirEvent{{DirRemove, inSub, ""}}},
			{func() error { return os.Remove(at("sub")) }, []DirEvent{{DirRemove, "sub", ""}}},
		}
		var do []func()
		for _, s := range steps {
			do = append(do, func() { must(t, s.do()) })
		}
		for i, got := range stories(t, open(t, c), dir, DirOptions{Recursive: true}, noWrites, do...) {
			if !slices.Equal(got, steps[i].want) {
				t.Errorf("step %d: %v; want %v", i, got, steps[i].want)
			}
		}
	})
}

// TestWatchDir_NotRecursive: of a directory in the watched one its own name is reported.
func TestWatchDir_NotRecursive(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		got := stories(t, open(t, c), dir, DirOptions{}, noWrites,
			func() { must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o777)) },
			func() { must(t, os.WriteFile(filepath.Join(dir, "sub", "inside"), nil, 0o666)) },
			func() { must(t, os.Rename(filepath.Join(dir, "sub"), filepath.Join(dir, "bus"))) },
			func() { must(t, os.RemoveAll(filepath.Join(dir, "bus"))) })
		want := [][]DirEvent{{{DirCreate, "sub", ""}}, nil, {{DirRename, "bus", "sub"}}, {{DirRemove, "bus", ""}}}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%v; want %v", got, want)
		}
	})
}

// TestWatchDir_Content: what happens to what is under a name.
func TestWatchDir_Content(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		name := filepath.Join(dir, "file")
		must(t, os.WriteFile(name, nil, 0o666))
		got := stories(t, open(t, c), dir, DirOptions{}, nil,
			func() { must(t, os.WriteFile(name, []byte("content"), 0o666)) },
			func() { must(t, os.Chmod(name, 0o400)) })
		for i, want := range []DirOp{DirWrite, changedAttribute} {
			if len(got[i]) == 0 || slices.ContainsFunc(got[i], func(e DirEvent) bool { return e != DirEvent{want, "file", ""} }) {
				t.Errorf("step %d: %v; want %s", i, got[i], want)
			}
		}
		must(t, os.Chmod(name, 0o600)) // or Windows would not remove it
	})
}

// TestWatchDir_MovedIn: what is moved in is reported with all that is in it, and watched.
func TestWatchDir_MovedIn(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir, outside := t.TempDir(), t.TempDir()
		must(t, os.MkdirAll(filepath.Join(outside, "a", "b"), 0o777))
		must(t, os.WriteFile(filepath.Join(outside, "a", "b", "c"), nil, 0o666))
		a, ab, abc, abd := "a", filepath.Join("a", "b"), filepath.Join("a", "b", "c"), filepath.Join("a", "b", "d")
		got := stories(t, open(t, c), dir, DirOptions{Recursive: true}, noWrites,
			func() { must(t, os.Rename(filepath.Join(outside, a), filepath.Join(dir, a))) },
			func() { must(t, os.WriteFile(filepath.Join(dir, abd), nil, 0o666)) },
			func() { must(t, os.Remove(filepath.Join(dir, abc))) },
			func() { must(t, os.Rename(filepath.Join(dir, a), filepath.Join(outside, a))) })
		want := [][]DirEvent{
			{{DirCreate, a, ""}, {DirCreate, ab, ""}, {DirCreate, abc, ""}}, {{DirCreate, abd, ""}}, {{DirRemove, abc, ""}}, {{DirRemove, a, ""}},
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%v; want %v", got, want)
		}
	})
}

// TestWatchDir_Overflow: changes that are lost are reported by a DirRescan, and those after it as ever.
func TestWatchDir_Overflow(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o666))
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience.Limit)
		defer cancel()
		rescans := 0
		for e, err := range open(t, c).WatchDir(ctx, dir, DirOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case e.Op != DirRescan:
			case rescans == 0:
				rescans++
				overflow(t, dir)
			default:
				rescans++
				must(t, os.WriteFile(filepath.Join(dir, "after"), nil, 0o666))
			}
			if e == (DirEvent{DirCreate, "after", ""}) {
				break
			}
		}
		if rescans != 2 {
			t.Errorf("%d rescans", rescans)
		}
	})
}

// TestWatchDir_Ends: whatever ends a watch leaves nothing behind, and says so in its last pair.
func TestWatchDir_Ends(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir, before, known := t.TempDir(), descriptors(), goroutines()
		m := open(t, c)
		watch := func(ctx context.Context, body func(e DirEvent) bool) (last error) {
			for e, err := range m.WatchDir(ctx, dir, DirOptions{Recursive: true}) {
				if last = err; err == nil && !body(e) {
					break
				}
			}
			return last
		}
		waits := func(DirEvent) bool { return true }
		if err := watch(t.Context(), func(DirEvent) bool { return false }); err != nil {
			t.Error("left at once:", err)
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		checkTyped(t, "ended in the body", 0, watch(ctx, func(DirEvent) bool {
			must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o666)) // the next event is not delivered
			cancel(why)
			return true
		}), why)
		checkTyped(t, "over before", 0, watch(ctx, waits), context.Canceled)
		ctx, end := context.WithCancel(t.Context())
		checkTyped(t, "ended while it waits", 0, watch(ctx, func(DirEvent) bool {
			m.AfterFunc(time.Millisecond, end)
			return true
		}), context.Canceled)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the body's panic was swallowed")
				}
			}()
			watch(t.Context(), func(DirEvent) bool { panic("of the body") })
		}()
		if m.shared {
			checkTyped(t, "manager closed while it waits", 0, watch(t.Context(), func(DirEvent) bool {
				m.AfterFunc(time.Millisecond, func() { m.Close() })
				return true
			}), ErrManagerClosed)
		} else {
			checkTyped(t, "manager closed in the body", 0, watch(t.Context(), func(DirEvent) bool {
				m.Close()
				return true
			}), ErrManagerClosed)
		}
		checkTyped(t, "manager closed before", 0, watch(t.Context(), waits), ErrManagerClosed)
		if err := patience.Until(func() error {
			return errors.Join(strangeDescriptors(before), goroutinesOf(known, "ringport/internal", "(*Manager)"))
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestWatchDir_BadInput: what can't be watched ends at once with the system's reason.
func TestWatchDir_BadInput(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m, dir := open(t, c), t.TempDir()
		file := filepath.Join(dir, "file")
		must(t, os.WriteFile(file, nil, 0o666))
		for path, want := range map[string]error{
			"":                             fs.ErrNotExist,
			filepath.Join(dir, "missing"):  fs.ErrNotExist,
			file:                           syscall.ENOTDIR,
			filepath.Join(file, "below"):   errThroughFile,
			dir + "\x00":                   syscall.EINVAL,
			filepath.Join(dir, "x", "..."): fs.ErrNotExist,
		} {
			n := 0
			for e, err := range m.WatchDir(t.Context(), path, DirOptions{Recursive: true}) {
				n++
				var op *OpError
				if !errors.As(err, &op) || op.Op != "watch" || op.Name != path || !errors.Is(err, want) || e != (DirEvent{}) {
					t.Errorf("%q: %v, %v; want %v", path, e, err, want)
				}
			}
			if n != 1 {
				t.Errorf("%q: %d pairs", path, n)
			}
		}
	})
}

// TestWatchDir_Relative: a relative path is that of the beginning, and names below it are found after the current directory has changed.
func TestWatchDir_Relative(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m, dir := open(t, c), t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "watched"), 0o777))
		t.Chdir(dir)
		for e, err := range m.WatchDir(t.Context(), "watched", DirOptions{Recursive: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Op == DirRescan {
				t.Chdir(t.TempDir())
				must(t, os.MkdirAll(filepath.Join(dir, "watched", "a", "b"), 0o777))
			}
			if e == (DirEvent{DirCreate, filepath.Join("a", "b"), ""}) {
				break
			}
		}
	})
}

// TestWatchDir_LoopGoesOn: on a caller-driven manager, operations are done while events never cease.
func TestWatchDir_LoopGoesOn(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m, dir := open(t, c), t.TempDir()
		n, done := 0, false
		for _, err := range m.WatchDir(t.Context(), dir, DirOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 1 {
				must(t, m.Start(nop(), func(*Op) { done = true }))
			}
			if done {
				break
			}
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o666))
		}
	})
}

// TestLogger_WatchDir: lines say which directory is watched.
func TestLogger_WatchDir(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		book := &logBook{level: LevelOperation}
		c.Logger = slog.New(book)
		m, dir := open(t, c), t.TempDir()
		for event, err := range m.WatchDir(t.Context(), dir, DirOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if event.Op == DirCreate {
				break
			}
			whileInFlight(m, func() {
				if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o666); err != nil {
					t.Error(err)
				}
			})
		}
		book.names(t, dir)
	})
}
