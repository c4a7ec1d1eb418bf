package ringport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const watchedFiles = 100_000

// quickDir is in memory if that can be: on a disk, making so many names takes the time of the test.
func quickDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "ringport-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

const (
	movesWatched = true
	lagLoses     = false
	// createdOnce: what a listing has found is not reported again.
	createdOnce = true
	// changedAttribute is what a change of permissions is reported as.
	changedAttribute = DirAttribute
)

func isBusy(error) bool { return false }

// overflow makes more changes to dir, which has a file, than the system keeps.
func overflow(t testing.TB, dir string) {
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(limit)))
	if err != nil {
		t.Fatal(err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "other"), nil, 0o666))
	for range n/2 + 1 { // two files in turn, since the system makes one of changes that are the same
		must(t, os.Chmod(filepath.Join(dir, "file"), 0o600))
		must(t, os.Chmod(filepath.Join(dir, "other"), 0o600))
	}
}

// collide makes, renames and removes files and directories of a few names, from several goroutines, so that nothing stays where it was for long.
func collide(t testing.TB, dir, outside string, seed uint64, operations int) {
	const workers = 3
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			path := func() string {
				p := dir
				if random.IntN(12) == 0 {
					p = outside
				}
				for range 1 + random.IntN(3) {
					p = filepath.Join(p, string(rune('a'+random.IntN(3))))
				}
				return p
			}
			for range operations {
				switch p := path(); random.IntN(8) { // whatever the system says to it
				case 0, 1, 2:
					os.Mkdir(p, 0o777)
				case 3:
					os.Remove(p)
				case 4:
					os.WriteFile(p, nil, 0o666)
				default:
					os.Rename(p, path())
				}
			}
		})
	}
	wg.Wait()
}

// TestWatchDir_Collisions: what is known by the events is what there is, though directories are renamed, replaced, removed, and moved in and out faster
// than they can be looked at.
func TestWatchDir_Collisions(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for seed := range uint64(5) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				dir, outside := quickDir(t), quickDir(t)
				r := replayDuring(t, open(t, c), dir, func(func()) { collide(t, dir, outside, seed, 2000) })
				r.check(t)
				t.Logf("%d names at the end, %d rescans", len(r.top.paths()), r.rescans)
			})
		}
	})
}

// TestWatchDir_Directories: what happens to directories and in them, exactly.
func TestWatchDir_Directories(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir, outside := t.TempDir(), t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		touch := func(name string) error { return os.WriteFile(at(name), nil, 0o666) }
		exchange := func(a, b string) error {
			return unix.Renameat2(unix.AT_FDCWD, at(a), unix.AT_FDCWD, at(b), unix.RENAME_EXCHANGE)
		}
		steps := []struct {
			do   func() error
			want []DirEvent
		}{
			{func() error { return errors.Join(os.MkdirAll(at("a/b/c"), 0o777), touch("a/b/c/1"), touch("a/2")) }, // before they are watched
				[]DirEvent{{DirCreate, "a", ""}, {DirCreate, "a/b", ""}, {DirCreate, "a/b/c", ""}, {DirCreate, "a/b/c/1", ""}, {DirCreate, "a/2", ""}}},
			{func() error { return os.Rename(at("a/b/c/1"), at("a/1")) }, []DirEvent{{DirRename, "a/1", "a/b/c/1"}}},
			{func() error { return os.Rename(at("a/1"), at("a/2")) }, []DirEvent{{DirRename, "a/2", "a/1"}}},
			{func() error { return os.Rename(at("a/b"), at("d")) }, []DirEvent{{DirRename, "d", "a/b"}}},
			{func() error { return touch("d/c/1") }, []DirEvent{{DirCreate, "d/c/1", ""}}}, // under the new name
			{func() error { return os.Mkdir(at("a/empty"), 0o777) }, []DirEvent{{DirCreate, "a/empty", ""}}},
			{func() error { return unix.Rename(at("d/c"), at("a/empty")) }, []DirEvent{{DirRename, "a/empty", "d/c"}}},
			{func() error { return touch("a/empty/2") }, []DirEvent{{DirCreate, "a/empty/2", ""}}},
			{func() error { return os.Link(at("a/2"), at("link")) }, []DirEvent{{DirCreate, "link", ""}}},
			{func() error { return os.Symlink("a", at("symlink")) }, []DirEvent{{DirCreate, "symlink", ""}}}, // which is not followed
			{func() error { return exchange("link", "a") }, []DirEvent{{DirRename, "a", "link"}, {DirRemove, "a", ""}, {DirCreate, "link", ""},
				{DirCreate, "link/2", ""}, {DirCreate, "link/empty", ""}, {DirCreate, "link/empty/1", ""}, {DirCreate, "link/empty/2", ""},
				{DirCreate, "a", ""}}},
			{func() error { return touch("link/3") }, []DirEvent{{DirCreate, "link/3", ""}}},
			{func() error { return os.Rename(at("link"), at("d/moved")) }, []DirEvent{{DirRename, "d/moved", "link"}}},
			{func() error { return os.Rename(at("d/moved"), at("link")) }, []DirEvent{{DirRename, "link", "d/moved"}}}, // and no exchange
			{func() error { return errors.Join(os.Remove(at("d")), os.Mkdir(at("d"), 0o777), touch("d/1")) },
				[]DirEvent{{DirRemove, "d", ""}, {DirCreate, "d", ""}, {DirCreate, "d/1", ""}}},
			// What was known is found in a new directory before the event that tells how it got there.
			{func() error { return errors.Join(os.Mkdir(at("k"), 0o777), touch("k/1")) }, []DirEvent{{DirCreate, "k", ""}, {DirCreate, "k/1", ""}}},
			{func() error { return errors.Join(os.Mkdir(at("q"), 0o777), os.Rename(at("k"), at("q/k"))) }, []DirEvent{{DirCreate, "q", ""},
				{DirCreate, "q/k", ""}, {DirRemove, "k", ""}, {DirCreate, "q/k/1", ""}, {DirRemove, "k", ""}}},
			{func() error { return touch("q/k/2") }, []DirEvent{{DirCreate, "q/k/2", ""}}},
			// A directory is a link by the time it is to be watched.
			{func() error {
				return errors.Join(os.Mkdir(at("s"), 0o777), os.Remove(at("s")), os.Symlink("q", at("s")))
			},
				[]DirEvent{{DirCreate, "s", ""}, {DirRemove, "s", ""}, {DirCreate, "s", ""}}},
			{func() error { return touch("q/3") }, []DirEvent{{DirCreate, "q/3", ""}}},
			{func() error { return os.Rename(at("link"), filepath.Join(outside, "link")) }, []DirEvent{{DirRemove, "link", ""}}},
			{func() error { return os.WriteFile(filepath.Join(outside, "link", "4"), nil, 0o666) }, nil}, // it is watched no more
			{func() error { return os.Rename(filepath.Join(outside, "link", "3"), at("3")) }, []DirEvent{{DirCreate, "3", ""}}},
			// What is listed as p was made after the first p was renamed, of which there is an event many reads later.
			{func() error {
				err := errors.Join(os.Mkdir(at("p"), 0o777), touch("p/1"))
				for range 2000 {
					err = errors.Join(err, os.Chmod(at("3"), 0o600), os.Chmod(at("a"), 0o600))
				}
				return errors.Join(err, os.Rename(at("p"), at("p2")), os.Mkdir(at("p"), 0o777), touch("p/2"))
			}, []DirEvent{{DirCreate, "p", ""}, {DirCreate, "p/2", ""}, {DirRemove, "p", ""}, {DirCreate, "p2", ""}, {DirCreate, "p2/1", ""},
				{DirCreate, "p", ""}, {DirCreate, "p/2", ""}}},
			{func() error { return errors.Join(touch("p/3"), touch("p2/3")) }, []DirEvent{{DirCreate, "p/3", ""}, {DirCreate, "p2/3", ""}}},
		}
		var do []func()
		for _, s := range steps {
			do = append(do, func() { must(t, s.do()) })
		}
		for i, got := range stories(t, open(t, c), dir, DirOptions{Recursive: true}, noWrites, do...) {
			want := steps[i].want
			if len(want) > 3 { // listed, in any order
				byName := func(a, b DirEvent) int { return strings.Compare(a.Name, b.Name) }
				slices.SortStableFunc(got, byName)
				slices.SortStableFunc(want, byName)
			}
			if !slices.Equal(got, want) {
				t.Errorf("step %d: %v; want %v", i, got, want)
			}
		}
	})
}

// TestWatchDir_Deep: what happens in directories whose path is longer than the system takes, be they older than the watch or new.
func TestWatchDir_Deep(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		dir, name := t.TempDir(), strings.Repeat("n", 200)
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		old, fresh := "old"+strings.Repeat("/"+name, 50), "new"+strings.Repeat("/"+name, 50)
		below := func(dir string) (all []string) { // with dir itself
			for end := range dir {
				if dir[end] == '/' {
					all = append(all, dir[:end])
				}
			}
			return append(all, dir)
		}
		mkdir := func(dir string) { must(t, root.MkdirAll(dir, 0o777)) }
		touch := func(path string) { must(t, root.WriteFile(path, nil, 0o666)) }
		mkdir(old)
		exchange := func(a, b string) {
			d, err := root.Open(old)
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Close()
			must(t, unix.Renameat2(int(d.Fd()), a, int(d.Fd()), b, unix.RENAME_EXCHANGE))
		}
		got := stories(t, open(t, c), dir, DirOptions{Recursive: true}, noWrites,
			func() { touch(old + "/1") },
			func() { mkdir(old + "/d") },
			func() { touch(old + "/d/2") },
			func() { must(t, root.Rename(old+"/d", old+"/e")) },
			func() { must(t, root.Rename(old+"/e/2", old+"/2")) },
			func() { exchange("1", "e") },
			func() { touch(old + "/1/3") },
			func() { mkdir(fresh) },
			func() { touch(fresh + "/4") })
		made := func(paths ...string) (events []DirEvent) {
			for _, path := range paths {
				events = append(events, DirEvent{DirCreate, path, ""})
			}
			return events
		}
		want := [][]DirEvent{made(old + "/1"), made(old + "/d"), made(old + "/d/2"), {{DirRename, old + "/e", old + "/d"}},
			{{DirRename, old + "/2", old + "/e/2"}},
			{{DirRename, old + "/e", old + "/1"}, {DirRemove, old + "/e", ""}, {DirCreate, old + "/1", ""}, {DirCreate, old + "/e", ""}},
			made(old + "/1/3"), made(below(fresh)...), made(fresh + "/4")}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("step %d: %d events, %.300q; want %d, %.300q", i, len(got[i]), got[i], len(want[i]), want[i])
			}
		}
	})
}

// TestWatchDir_Halves: a rename is one event, also where one read of the system's queue ends between its halves.
func TestWatchDir_Halves(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		const renames = 3000 // of two events each: some buffers full, and fewer than the system keeps
		dir := t.TempDir()
		name := func(i int) string { return fmt.Sprintf("name-%06d", i) } // all events are as long
		must(t, os.WriteFile(filepath.Join(dir, name(0)), nil, 0o666))
		got := stories(t, open(t, c), dir, DirOptions{}, noWrites, func() {
			must(t, os.Chmod(filepath.Join(dir, name(0)), 0o600)) // so that one half is at the end of a buffer
			for i := range renames {
				must(t, os.Rename(filepath.Join(dir, name(i)), filepath.Join(dir, name(i+1))))
			}
		})
		if len(got[0]) != renames || slices.ContainsFunc(got[0], func(e DirEvent) bool { return e.Op != DirRename }) {
			t.Errorf("%d events", len(got[0]))
		}
	})
}

// TestWatchDir_Gone: a directory that is removed or renamed, or whose path leads elsewhere when something new in it is to be watched, ends its watch.
func TestWatchDir_Gone(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		for name, do := range map[string]func(dir string) error{
			"removed":  os.Remove,
			"renamed":  func(dir string) error { return os.Rename(dir, dir+"-renamed") },
			"replaced": func(dir string) error { return errors.Join(os.Mkdir(dir+"-new", 0o777), unix.Rename(dir+"-new", dir)) },
			"one above, renamed": func(dir string) error {
				above := filepath.Dir(dir)
				return errors.Join(os.Rename(above, above+"-renamed"), os.Mkdir(filepath.Join(above+"-renamed", filepath.Base(dir), "new"), 0o777))
			},
		} {
			dir := filepath.Join(t.TempDir(), "above", "watched")
			must(t, os.MkdirAll(dir, 0o777))
			var last error
			for _, err := range m.WatchDir(t.Context(), dir, DirOptions{Recursive: true}) {
				if last = err; err == nil && do != nil {
					must(t, do(dir))
					do = nil
				}
			}
			if !errors.Is(last, ErrDirGone) || !errors.Is(last, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, last)
			}
		}
	})
}

// TestWatchDir_ThroughLink: a link to a directory is followed once, at the beginning.
func TestWatchDir_ThroughLink(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "one"), 0o777))
		must(t, os.Mkdir(filepath.Join(dir, "two"), 0o777))
		link := filepath.Join(dir, "link")
		must(t, os.Symlink("one", link))
		for e, err := range open(t, c).WatchDir(t.Context(), link, DirOptions{Recursive: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Op == DirRescan {
				must(t, os.Remove(link))
				must(t, os.Symlink("two", link))
				must(t, os.MkdirAll(filepath.Join(dir, "one", "new", "below"), 0o777))
			}
			if e.Name == "new/below" {
				break
			}
		}
	})
}

// TestWatchDir_AnyBytes: a name is the bytes that the system has.
func TestWatchDir_AnyBytes(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		dir := t.TempDir()
		names := []string{"\xff\xfe", "a\nb", strings.Repeat("n", 255), "...", " "}
		var steps []func()
		for _, name := range names {
			steps = append(steps, func() { must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666)) })
		}
		for i, got := range stories(t, open(t, c), dir, DirOptions{}, noWrites, steps...) {
			if !slices.Equal(got, []DirEvent{{DirCreate, names[i], ""}}) {
				t.Errorf("%q: %v", names[i], got)
			}
		}
	})
}

var (
	limitedWatch    = child("limited watch", limitedWatchChild)
	unprivileged    = child("unprivileged watch", unprivilegedWatchChild)
	watchedVariable = "RINGPORT_TEST_WATCHED"
)

// TestWatchDir_Limits: what the system does not let a user watch ends the watch, with an error that says which limit it is.
func TestWatchDir_Limits(t *testing.T) {
	cmd := childCommand(t, limitedWatch, watchedVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, // the limits of a namespace are its own
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skip("no user namespace, whose limits could be set:", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func limitedWatchChild() error {
	m, err := New(Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	dir := os.Getenv(watchedVariable)
	limit := func(name string, n int) {
		if err == nil {
			err = os.WriteFile("/proc/sys/user/max_inotify_"+name, []byte(strconv.Itoa(n)), 0)
		}
	}
	watch := func() (last error) {
		for e, err := range m.WatchDir(context.Background(), dir, DirOptions{Recursive: true}) {
			if last = err; err == nil && e.Op == DirRescan {
				os.MkdirAll(filepath.Join(dir, "a", "b", "c"), 0o777)
			}
		}
		return last
	}
	limit("watches", 3)
	if last := watch(); err == nil && (!errors.Is(last, unix.ENOSPC) || !strings.Contains(last.Error(), "max_user_watches")) {
		return fmt.Errorf("3 watches, of directories that are new: %v", last)
	}
	if last := watch(); err == nil && !errors.Is(last, unix.ENOSPC) {
		return fmt.Errorf("3 watches, of directories that are there: %v", last)
	}
	if last := moveOut(m, filepath.Join(dir, "top"), filepath.Join(dir, "outside")); err == nil && last != nil {
		return fmt.Errorf("3 watches, of directories that are moved out: %v", last)
	}
	limit("instances", 0)
	if last := watch(); err == nil && (!errors.Is(last, unix.EMFILE) || !strings.Contains(last.Error(), "max_user_instances")) {
		return fmt.Errorf("no instances: %v", last)
	}
	return err
}

// moveOut has a directory at a time be made in dir, moved out of it, and so be watched no more.
func moveOut(m *Manager, dir, outside string) error {
	if err := errors.Join(os.Mkdir(dir, 0o777), os.Mkdir(outside, 0o777)); err != nil {
		return err
	}
	moved := 0
	for e, err := range m.WatchDir(context.Background(), dir, DirOptions{Recursive: true}) {
		switch {
		case err != nil:
			return err
		case moved == 10:
			return nil
		case e.Name == "new/file": // it is watched by now
			moved++
			err = os.Rename(filepath.Join(dir, "new"), filepath.Join(outside, strconv.Itoa(moved)))
		case e.Op == DirCreate:
			err = os.WriteFile(filepath.Join(dir, "new", "file"), nil, 0o666)
		case e.Op == DirRescan, moved > 0:
			err = os.Mkdir(filepath.Join(dir, "new"), 0o777)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestWatchDir_Unreadable: a directory below that can't be read is left out until it can.
func TestWatchDir_Unreadable(t *testing.T) {
	runChild(t, unprivileged, watchedVariable+"="+t.TempDir())
}

func unprivilegedWatchChild() error {
	dir := filepath.Join(os.Getenv(watchedVariable), "top")
	if os.Getuid() == 0 { // who may read everything
		const nobody = 65534
		for _, above := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
			if err := os.Chown(above, nobody, nobody); err != nil {
				return err
			}
		}
		if err := errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			return err
		}
	}
	m, err := New(Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := errors.Join(os.Mkdir(dir, 0o777), os.Mkdir(filepath.Join(dir, "closed"), 0)); err != nil {
		return err
	}
	var steps []string
	for e, err := range m.WatchDir(context.Background(), dir, DirOptions{Recursive: true}) {
		if err != nil {
			return err
		}
		steps = append(steps, fmt.Sprint(e.Op, " ", e.Name))
		switch {
		case e.Op == DirRescan:
			err = os.Mkdir(filepath.Join(dir, "new"), 0)
		case e == DirEvent{DirCreate, "new", ""}:
			err = os.Chmod(filepath.Join(dir, "closed"), 0o700)
		case e == DirEvent{DirAttribute, "closed", ""}:
			err = os.Mkdir(filepath.Join(dir, "closed", "below"), 0o700)
		case e == DirEvent{DirCreate, "closed/below", ""}:
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w, after %v", err, steps)
		}
	}
	return nil
}

// TestWatchDir_NoAllocations: an event costs its name and nothing else.
func TestWatchDir_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	forThreaded(t, func(t *testing.T, c Config) {
		const events = 8000 // fewer than the system keeps
		dir := t.TempDir()
		file, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
		must(t, errors.Join(os.WriteFile(file, nil, 0o666), os.WriteFile(other, nil, 0o666)))
		var before, after runtime.MemStats
		n := 0
		for e, err := range open(t, c).WatchDir(t.Context(), dir, DirOptions{Recursive: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Op == DirRescan {
				for range events / 2 {
					must(t, errors.Join(os.Chmod(file, 0o600), os.Chmod(other, 0o600)))
				}
				runtime.ReadMemStats(&before)
			} else if n++; n == events {
				break
			}
		}
		runtime.ReadMemStats(&after)
		if each := float64(after.Mallocs-before.Mallocs) / events; each > 1.1 { // the rest is the runtime's
			t.Errorf("%.2f allocations an event", each)
		}
	})
}
