package ringport

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// watchedDir is a directory in the tree of those that are watched, under the path that it was last reported with. Or it is the place of one that
// was not there when it was to be watched: events that are still to come will tell what has become of it, and until then it is fresh.
type watchedDir struct {
	wd       int32 // noWatch: without one
	parent   *watchedDir
	path     string // relative to the top, whose own is empty
	children map[string]*watchedDir

	fence  uint64              // it is fresh until so many bytes of events are handled
	listed map[string]struct{} // while it is fresh: names that its listing has reported and no event since

	// The last rename into this directory, since the opposite one, if it comes next, may be the other half of an exchange.
	moved struct {
		from      *watchedDir
		old, name string
	}
}

// fileID tells files apart for as long as they exist.
type fileID struct{ dev, ino uint64 }

const noWatch = -1

const unreported DirOp = 0

// join is the path of a name in d.
func (d *watchedDir) join(name []byte) string {
	if d.path == "" {
		return string(name)
	}
	return d.path + "/" + string(name)
}

// isUnwatched reports whether the directory called name in d, if it is one, has no watch.
func (d *watchedDir) isUnwatched(name []byte) bool {
	c := d.children[string(name)]
	return c == nil || c.wd == noWatch
}

// takeListed reports whether the listing of d has reported name, and so has reported what an event says now that name was created.
func (d *watchedDir) takeListed(name []byte) bool {
	_, ok := d.listed[string(name)]
	if ok {
		delete(d.listed, string(name))
	}
	return ok
}

// isFresh reports whether d may be another directory than the current event is about, or may have been listed after it.
func (t *inotify) isFresh(d *watchedDir) bool { return t.at < d.fence || d.wd == noWatch }

// isFreshBelow is isFresh for d, which may be nil, and all below it.
func (t *inotify) isFreshBelow(d *watchedDir) bool {
	if d == nil {
		return false
	}
	if t.isFresh(d) {
		return true
	}
	for _, c := range d.children {
		if t.isFreshBelow(c) {
			return true
		}
	}
	return false
}

// freshen makes d, which is new, fresh until what is in the queue when it has been listed is handled.
func (t *inotify) freshen(d *watchedDir) {
	d.fence = notYet
	t.fresh = append(t.fresh, d)
}

// watchTop watches the top and, if asked to, all directories below it, without reporting them.
func (t *inotify) watchTop() error {
	wd, err := t.watch("")
	if err != nil {
		return err
	}
	if t.topID, err = t.topNow(); err != nil {
		return err
	}
	t.top = &watchedDir{wd: int32(wd)}
	t.dirs[t.top.wd] = t.top
	t.freshen(t.top)
	if !t.recursive {
		return nil
	}
	return t.list(t.top, false)
}

// topNow is what the top's path leads to now.
func (t *inotify) topNow() (fileID, error) {
	var st unix.Stat_t
	err := unix.Lstat(t.root, &st)
	return fileID{uint64(st.Dev), st.Ino}, err
}

// watch makes or finds the watch of a directory.
func (t *inotify) watch(path string) (wd int, err error) {
	err = t.reach(path, func(path string) (err error) {
		wd, err = unix.InotifyAddWatch(t.fd, path, inotifyMask)
		return err
	})
	return wd, limitReached(err, unix.ENOSPC, "fs.inotify.max_user_watches")
}

// maxPathBytes is how long a path is at most that is given to the system, which takes no longer ones: there is room for a name after it.
const maxPathBytes = unix.PathMax - 256

// reach has f called with a path that leads to path, and that the system takes however deep the tree is: a long one begins with a descriptor of a
// directory on the way.
func (t *inotify) reach(path string, f func(path string) error) error {
	path = t.root + "/" + path
	for fd := unix.AT_FDCWD; len(path) > maxPathBytes; {
		end := strings.LastIndexByte(path[:maxPathBytes], '/')
		next, err := unix.Openat(fd, path[:end], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(next)
		fd, path = next, path[end+1:]
		if len(path) <= maxPathBytes {
			way := "/proc/self/fd/" + strconv.Itoa(fd)
			if unix.Access(way, unix.F_OK) != nil { // without /proc, nothing says that what is there is gone
				return unix.ENAMETOOLONG
			}
			path = way + "/" + path
		}
	}
	return f(path)
}

// enter watches the directory called name in parent, reports it by the event as, and lists what is in it, all the way down. It is watched first:
// whoever looks into it when it is reported must be told of all that changes after that. As unreported, neither it nor what is in it is reported.
func (t *inotify) enter(parent *watchedDir, name string, as DirOp) error {
	if err := t.over(); err != nil { // a large tree takes its time
		return err
	}
	d := &watchedDir{wd: noWatch, parent: parent, path: parent.join([]byte(name))}
	t.adopt(parent, name, d)
	err := t.watchIn(d, as)
	if err == nil && as != unreported {
		err = t.emit(as, d.path, "")
	}
	if err != nil || d.wd == noWatch {
		return err
	}
	return t.list(d, as != unreported)
}

// watchIn watches d, which is in the tree already, if that can be done.
func (t *inotify) watchIn(d *watchedDir, as DirOp) error {
	wd, err := t.watch(d.path)
	if err != nil {
		return t.unwatched(err)
	}
	if other := t.dirs[int32(wd)]; other != nil {
		for above := d.parent; above != nil; above = above.parent {
			if above == other { // below itself: by a bind mount, or for the moment
				return nil
			}
		}
		// A directory has one place, and it is here now. Events that are still to come will tell what there is at the other one.
		t.unwatch(other)
		if as != unreported {
			if err := t.emit(DirRemove, other.path, ""); err != nil {
				return err
			}
		}
		if wd, err = t.watch(d.path); err != nil {
			return t.unwatched(err)
		}
	}
	d.wd = int32(wd)
	t.dirs[d.wd] = d
	t.freshen(d)
	return nil
}

// unwatched is what an error means that keeps a directory from being watched.
func (t *inotify) unwatched(err error) error {
	switch {
	case isGone(err): // by now
		if id, err := t.topNow(); err != nil || id != t.topID {
			return ErrDirGone // or one above it: its path leads elsewhere
		}
		return nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil // it can't be listed either, until its attributes change
	}
	return err
}

// isGone reports whether err says that there is no directory.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// list enters the directories in d, which is fresh, and reports all that is in it if asked to.
func (t *inotify) list(d *watchedDir, report bool) error {
	var entries []os.DirEntry
	err := t.reach(d.path, func(path string) error {
		f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err == nil {
			entries, err = f.ReadDir(-1)
			f.Close()
		}
		return err
	})
	if err != nil {
		return t.unlisted(d, causeIn(err))
	}
	if report {
		d.listed = make(map[string]struct{}, len(entries))
	}
	for _, e := range entries {
		name := e.Name()
		if report {
			if _, twice := d.listed[name]; twice { // renamed back and forth while it was listed
				continue
			}
			d.listed[name] = struct{}{}
		}
		switch {
		case e.IsDir():
			as := unreported
			if report {
				as = DirCreate
			}
			err = t.enter(d, name, as)
		case report:
			err = t.emit(DirCreate, d.join([]byte(name)), "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *inotify) unlisted(d *watchedDir, err error) error {
	if d == t.top {
		return err
	}
	return t.unwatched(err)
}

// appear reports a new name, and enters it if it is a directory.
func (t *inotify) appear(dir *watchedDir, name []byte, isDir bool) error {
	// A listing was faster: ours, or that of whoever answered a DirRescan. What it has found below the name may be gone, and the events that told so
	// went to a watch that is no more.
	if dir.children[string(name)] != nil || isDir && t.recursive && t.at < t.rescanned {
		if err := t.vanish(dir, name); err != nil {
			return err
		}
	}
	if isDir && t.recursive {
		return t.enter(dir, string(name), DirCreate)
	}
	return t.emit(DirCreate, dir.join(name), "")
}

// vanish reports that a name is no more, and forgets what was below it.
func (t *inotify) vanish(dir *watchedDir, name []byte) error {
	if dir.wd == noWatch { // it is reported, or will be, that dir is not there any more
		return nil
	}
	dir.takeListed(name)
	if d := dir.children[string(name)]; d != nil {
		t.forget(d)
	}
	return t.emit(DirRemove, dir.join(name), "")
}

// forget ends the watches of d and all below it, and takes it out of the tree.
func (t *inotify) forget(d *watchedDir) {
	t.unwatch(d)
	delete(d.parent.children, d.name())
}

// unwatch ends the watches of d and all below it.
func (t *inotify) unwatch(d *watchedDir) {
	for _, c := range d.children {
		t.unwatch(c)
	}
	d.children, d.listed = nil, nil
	if d.wd != noWatch {
		delete(t.dirs, d.wd)
		unix.InotifyRmWatch(t.fd, uint32(d.wd)) // EINVAL, if the directory is gone
		d.wd = noWatch
	}
}

func (t *inotify) adopt(parent *watchedDir, name string, d *watchedDir) {
	if parent.children == nil {
		parent.children = map[string]*watchedDir{}
	}
	parent.children[name] = d
	d.parent = parent
}

// name is the last part of d's path.
func (d *watchedDir) name() string {
	if d.parent.path == "" {
		return d.path
	}
	return d.path[len(d.parent.path)+1:]
}

// move reports a rename, and takes what was renamed with it.
func (t *inotify) move(from move, dir *watchedDir, name []byte, isDir bool) error {
	path, d, back := dir.join(name), from.dir.children[from.name], from.dir.moved
	dir.moved.from, dir.moved.old, dir.moved.name = from.dir, from.name, path[len(path)-len(name):]
	if back.from == dir && back.old == dir.moved.name && back.name == from.name {
		if exchanged, err := t.exchange(from, dir, name, isDir); exchanged || err != nil {
			return err
		}
	}
	if isDir && t.recursive && d == nil || from.dir.wd == noWatch || t.isFresh(from.dir) || t.isFresh(dir) || t.isFreshBelow(d) {
		if err := t.vanish(from.dir, []byte(from.name)); err != nil {
			return err
		}
		return t.appear(dir, name, isDir)
	}
	oldPath := from.dir.join([]byte(from.name))
	if replaced := dir.children[dir.moved.name]; replaced != nil {
		t.forget(replaced)
	}
	if d != nil {
		delete(from.dir.children, from.name)
		t.adopt(dir, dir.moved.name, d)
		d.setPath(path)
	}
	return t.emit(DirRename, path, oldPath)
}

// exchange handles a rename that undoes the last one into from.dir, and may be the second half of an exchange (RENAME_EXCHANGE), of which the
// first half looked like any rename. Then there is still something under the old name, and both are looked at anew.
func (t *inotify) exchange(from move, dir *watchedDir, name []byte, isDir bool) (bool, error) {
	if from.dir.wd == noWatch {
		return false, nil
	}
	var st unix.Stat_t
	err := t.reach(from.dir.join([]byte(from.name)), func(path string) error { return unix.Lstat(path, &st) })
	if wd, watchErr := t.watch(from.dir.path); watchErr != nil || int32(wd) != from.dir.wd {
		return false, errChangesLost // its path leads elsewhere by now: the other half can't be looked at
	}
	if err != nil {
		return false, nil
	}
	if err = t.vanish(from.dir, []byte(from.name)); err == nil {
		if err = t.appear(dir, name, isDir); err == nil {
			err = t.appear(from.dir, []byte(from.name), st.Mode&unix.S_IFMT == unix.S_IFDIR)
		}
	}
	return true, err
}

// setPath changes the path of d, and with it those of all below.
func (d *watchedDir) setPath(path string) {
	d.path = path
	for name, c := range d.children {
		c.setPath(path + "/" + name)
	}
}

// passLock waits until no rename that is under way in d is half reported: a listing needs the lock that a rename holds until both halves
// are in the queue.
func (t *inotify) passLock(d *watchedDir) {
	t.reach(d.path, func(path string) error { // at worst it fails, and the rename is reported as a removal and a creation
		fd, err := unix.Open(path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			var entries [1 << 10]byte
			unix.ReadDirent(fd, entries[:])
			unix.Close(fd)
		}
		return err
	})
}
