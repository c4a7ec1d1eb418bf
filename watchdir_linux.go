package ringport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// inotify is a watch by inotify(7). It has one descriptor, which is never read while it would block but waited for by the manager, and a
// watch for each directory.
//
// The system numbers a watch, and tells of what happens in its directory by that number and a name. Which path the number stands for is for us
// to know (watchedDir): directories are renamed and removed, and events come later than what they tell of. Renames of known
// directories are followed, event by event. But a new directory is watched by its path, and listed, when its event is
// handled; by then another directory may be there, and what is listed may include changes that are still to be reported. All of these
// are in the queue at that moment. So a directory is "fresh" until the events that were in the queue when it was listed are handled (fence),
// and nothing fresh is renamed: what the event says has moved is removed from the tree, and entered where it is now. Whatever was
// seen wrong is put right by the event that made it wrong, before its directory stops being fresh.
type inotify struct {
	*dirWatch
	root string // the absolute path, without links
	fd   int
	wait Op
	buf  []byte
	rest []byte // what is in buf and is not handled yet
	read uint64 // bytes read from fd so far
	at   uint64 // how many of them came before the event that is being handled

	rescanned uint64 // how many there were when the last DirRescan had been handled

	top    *watchedDir
	topID  fileID
	dirs   map[int32]*watchedDir // by the number of the watch
	fresh  []*watchedDir         // those with a fence that is not passed
	moving []move                // left a directory, and arrive in another one, or the same, a few events later
}

// move is the first half of a rename.
type move struct {
	dir    *watchedDir
	name   string
	cookie uint32
}

// notYet is a fence that is to be set when the current buffer has been handled.
const notYet = math.MaxUint64

const (
	inotifyBytes = 64 << 10
	// apartBytes is how far apart the halves of a rename are looked for. They are next to each other unless other processors were at
	// work in other directories. If they are further apart, a rename is reported as a removal and a creation.
	apartBytes  = 4 << 10
	inotifyMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_MOVE_SELF |
		unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW | unix.IN_EXCL_UNLINK
)

func (w *dirWatch) run() error {
	if w.path == "" {
		return unix.ENOENT // and not the current directory
	}
	// From here on neither a change of the current directory nor of a link changes where the path leads to.
	root, err := filepath.Abs(w.path)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return causeIn(err)
	}
	t := &inotify{dirWatch: w, root: root, fd: -1, buf: make([]byte, inotifyBytes)}
	defer t.close()
	for err = t.begin(); err == nil; {
		if err = t.next(); err == nil {
			err = t.handleAll()
		}
		if err == nil {
			err = t.setFences()
		}
		if err == errChangesLost {
			err = t.begin()
		}
	}
	return err
}

// begin starts to watch, or starts anew, with none of the old watches and events, and says so.
func (t *inotify) begin() error {
	again, id := t.top != nil, t.topID
	t.close()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return limitReached(err, unix.EMFILE, "fs.inotify.max_user_instances, or as many as a process may have")
	}
	t.fd, t.wait, t.rest, t.read, t.at, t.rescanned = fd, PollReady(Handle(fd), PollIn), nil, 0, 0, 0
	t.wait.Named(t.path)
	t.top, t.dirs, t.fresh, t.moving = nil, map[int32]*watchedDir{}, nil, nil
	err = t.watchTop()
	if again && (isGone(err) || err == nil && t.topID != id) {
		return ErrDirGone
	}
	if err == nil {
		err = t.emit(DirRescan, "", "")
	}
	if err == nil {
		err = t.setFences()
		t.rescanned = t.top.fence
	}
	return err
}

func (t *inotify) close() {
	if t.fd >= 0 {
		t.m.closeHandle(Handle(t.fd)) // by way of the driver, which may have polled it
		t.fd = -1
	}
}

// limitReached makes more of an error that is often taken for something else.
func limitReached(err, limit error, what string) error {
	if err == limit {
		return fmt.Errorf("%w: %s", err, what)
	}
	return err
}

// next waits for events, and reads what there is.
func (t *inotify) next() error {
	for again := false; ; again = true {
		if again || !t.m.shared { // a caller-driven loop gets its turn even if there are always events
			if _, err := t.do(&t.wait); err != nil {
				return err
			}
		}
		if any, err := t.readMore(); any || err != nil {
			return err
		}
	}
}

// readMore reads what there is, if anything, after what is not handled yet.
func (t *inotify) readMore() (bool, error) {
	t.rest = t.buf[:copy(t.buf, t.rest)]
	n, err := unix.Read(t.fd, t.buf[len(t.rest):])
	if err != nil {
		if err == unix.EAGAIN || err == unix.EINTR {
			err = nil
		}
		return false, err
	}
	t.read += uint64(n)
	t.rest = t.buf[:len(t.rest)+n]
	return n > 0, nil
}

// inotifyEvent is a struct inotify_event.
type inotifyEvent struct {
	wd           int32
	mask, cookie uint32
	name         []byte // in buf
}

// firstEvent takes the first event from b, which has whole ones, as the system reports them. It reports false if there is none.
func firstEvent(b []byte) (e inotifyEvent, rest []byte, ok bool) {
	if len(b) < unix.SizeofInotifyEvent {
		return e, nil, false
	}
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	e.wd, e.mask, e.cookie = int32(word(0)), word(1), word(2)
	end := min(unix.SizeofInotifyEvent+int(word(3)), len(b))
	e.name = b[unix.SizeofInotifyEvent:end]
	if zero := bytes.IndexByte(e.name, 0); zero >= 0 {
		e.name = e.name[:zero]
	}
	return e, b[end:], true
}

// handleAll handles what has been read.
func (t *inotify) handleAll() error {
	for {
		t.at = t.read - uint64(len(t.rest))
		e, rest, ok := firstEvent(t.rest)
		if !ok {
			return nil
		}
		t.rest = rest
		var err error
		if dir := t.dirs[e.wd]; e.mask&unix.IN_Q_OVERFLOW != 0 {
			err = errChangesLost
		} else if dir == nil { // it is watched no more
			if from, ok := t.departed(e.cookie); ok {
				err = t.vanish(from.dir, []byte(from.name))
			}
		} else if len(e.name) == 0 {
			err = t.handleSelf(dir, e.mask)
		} else {
			err = t.handle(dir, e)
		}
		if err != nil {
			return err
		}
	}
}

// handleSelf handles what happens to a watched directory itself; for others than the top there are events of their parents too.
func (t *inotify) handleSelf(dir *watchedDir, mask uint32) error {
	top := dir == t.top
	switch {
	case top && mask&(unix.IN_MOVE_SELF|unix.IN_UNMOUNT|unix.IN_IGNORED) != 0:
		return ErrDirGone
	case mask&unix.IN_UNMOUNT != 0:
		return errChangesLost // something else is seen there now, of which there is no event
	case mask&unix.IN_IGNORED != 0: // removed; its watch is no more
		delete(t.dirs, dir.wd)
		dir.wd = noWatch
	}
	return nil
}

// handle handles what happens to a name in a directory.
func (t *inotify) handle(dir *watchedDir, e inotifyEvent) error {
	isDir := e.mask&unix.IN_ISDIR != 0
	switch {
	case e.mask&unix.IN_MODIFY != 0:
		return t.emit(DirWrite, dir.join(e.name), "")
	case e.mask&unix.IN_ATTRIB != 0:
		if isDir && t.recursive && dir.isUnwatched(e.name) { // it may not have been readable
			return t.enter(dir, string(e.name), DirAttribute)
		}
		return t.emit(DirAttribute, dir.join(e.name), "")
	case e.mask&unix.IN_CREATE != 0:
		if t.isFresh(dir) && dir.takeListed(e.name) {
			return nil
		}
		return t.appear(dir, e.name, isDir)
	case e.mask&unix.IN_DELETE != 0:
		return t.vanish(dir, e.name)
	case e.mask&unix.IN_MOVED_FROM != 0:
		m := move{dir, string(e.name), e.cookie}
		arrives, err := t.arrives(m)
		if err == nil && arrives {
			t.moving = append(t.moving, m)
		} else if err == nil {
			err = t.vanish(dir, []byte(m.name))
		}
		return err
	}
	if from, ok := t.departed(e.cookie); ok {
		return t.move(from, dir, e.name, isDir)
	}
	return t.appear(dir, e.name, isDir)
}

// departed takes the first half of a rename out of those that wait for the second one.
func (t *inotify) departed(cookie uint32) (from move, ok bool) {
	i := slices.IndexFunc(t.moving, func(m move) bool { return m.cookie == cookie })
	if i < 0 {
		return from, false
	}
	from = t.moving[i]
	t.moving = slices.Delete(t.moving, i, i+1)
	return from, true
}

// arrives looks ahead for the second half of a rename. It reports false if there is none, as of what is moved to elsewhere, or to a directory that
// is not watched. Both halves are reported before the rename lets go of its directories, so that the second one is in the queue when the lock of one
// of them has been passed.
func (t *inotify) arrives(m move) (bool, error) {
	for passed := false; ; {
		for e, rest, ok := firstEvent(t.rest); ok; e, rest, ok = firstEvent(rest) {
			if e.mask&unix.IN_MOVED_TO != 0 && e.cookie == m.cookie {
				return t.dirs[e.wd] != nil, nil
			}
		}
		if len(t.rest) >= apartBytes {
			return false, nil
		}
		switch more, err := t.readMore(); {
		case err != nil:
			return false, err
		case more:
		case passed:
			return false, nil
		default:
			t.passLock(m.dir)
			passed = true
		}
	}
}

// setFences is called when what was read has been handled. It finds out how many bytes of events there were when the directories that were
// entered had been listed.
func (t *inotify) setFences() error {
	if len(t.fresh) == 0 {
		return nil
	}
	queued, err := unix.IoctlGetUint32(t.fd, unix.TIOCINQ) // FIONREAD
	if err != nil {
		return err
	}
	t.fresh = slices.DeleteFunc(t.fresh, func(d *watchedDir) bool {
		if d.fence == notYet {
			d.fence = t.read + uint64(queued)
		}
		if d.fence > t.read {
			return false
		}
		d.listed = nil
		return true
	})
	return nil
}
