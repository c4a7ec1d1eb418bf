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
	read uint64 // bytes read from fd so far
	at   uint64 // how many of them came before the event that is being handled

	top    *watchedDir
	topID  fileID
	dirs   map[int32]*watchedDir // by the number of the watch
	fresh  []*watchedDir         // those with a fence that is not passed
	moving []move                // left a directory, and have not arrived in another one yet
}

// move is the first half of a rename.
type move struct {
	dir    *watchedDir
	name   string
	cookie uint32
	fence  uint64 // the second half comes before these bytes have been handled, or never; notYet: unknown
}

// notYet is a fence that is to be set when the current buffer has been handled.
const notYet = math.MaxUint64

const (
	inotifyBytes = 64 << 10
	inotifyMask  = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_MOVE_SELF |
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
		var n int
		if n, err = t.next(); err == nil {
			err = t.handleAll(t.buf[:n])
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
	t.fd, t.wait, t.read, t.at = fd, PollReady(Handle(fd), PollIn), 0, 0
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
func (t *inotify) next() (int, error) {
	for again := false; ; again = true {
		if again || !t.m.shared { // a caller-driven loop gets its turn even if there are always events
			if _, err := t.do(&t.wait); err != nil {
				return 0, err
			}
		}
		n, err := unix.Read(t.fd, t.buf)
		if err == nil {
			t.read += uint64(n)
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			return n, err
		}
	}
}

// handleAll handles the events in b, which were read last.
func (t *inotify) handleAll(b []byte) error {
	for len(b) >= unix.SizeofInotifyEvent {
		t.at = t.read - uint64(len(b))
		word := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
		wd, mask, cookie, end := int32(word(0)), word(1), word(2), unix.SizeofInotifyEvent+int(word(3))
		if end > len(b) {
			break // the system reports whole events
		}
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
		b = b[end:]
		var err error
		if dir := t.dirs[wd]; mask&unix.IN_Q_OVERFLOW != 0 {
			err = errChangesLost
		} else if dir == nil { // forgotten meanwhile
		} else if len(name) == 0 {
			err = t.handleSelf(dir, mask)
		} else {
			err = t.handle(dir, name, mask, cookie)
		}
		if err != nil {
			return err
		}
	}
	t.at = t.read
	return nil
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
func (t *inotify) handle(dir *watchedDir, name []byte, mask, cookie uint32) error {
	isDir := mask&unix.IN_ISDIR != 0
	switch {
	case mask&unix.IN_MODIFY != 0:
		return t.emit(DirWrite, dir.join(name), "")
	case mask&unix.IN_ATTRIB != 0:
		err := t.emit(DirAttribute, dir.join(name), "")
		if err == nil && isDir && t.recursive && dir.isUnwatched(name) { // it may not have been readable
			err = t.enter(dir, string(name), true)
		}
		return err
	}
	from, arrived := t.departed(cookie)
	if err := t.movedOut(func(m *move) bool { return m.dir == dir }); err != nil {
		return err
	}
	switch {
	case mask&unix.IN_CREATE != 0:
		if t.isFresh(dir) && dir.takeListed(name) {
			return nil
		}
		return t.appear(dir, name, isDir)
	case mask&unix.IN_DELETE != 0:
		return t.vanish(dir, name)
	case mask&unix.IN_MOVED_FROM != 0:
		t.moving = append(t.moving, move{dir, string(name), cookie, notYet})
		return nil
	case arrived:
		return t.move(from, dir, name, isDir)
	}
	return t.appear(dir, name, isDir)
}

// departed takes the first half of a rename out of those that wait for the second one. What is 0 is no rename's cookie.
func (t *inotify) departed(cookie uint32) (from move, ok bool) {
	i := slices.IndexFunc(t.moving, func(m move) bool { return m.cookie == cookie })
	if cookie == 0 || i < 0 {
		return from, false
	}
	from = t.moving[i]
	t.moving = slices.Delete(t.moving, i, i+1)
	return from, true
}

// movedOut removes what has left a directory and will not arrive anywhere: such as choose picks. Both halves of a rename are reported while
// the two directories are locked, so nothing else happens to names in them in between.
func (t *inotify) movedOut(choose func(m *move) bool) error {
	for i := 0; i < len(t.moving); {
		m := t.moving[i]
		if !choose(&m) {
			i++
			continue
		}
		t.moving = slices.Delete(t.moving, i, i+1)
		if err := t.vanish(m.dir, []byte(m.name)); err != nil {
			return err
		}
	}
	return nil
}

// setFences is called when a buffer has been handled. It finds out how many bytes of events there were when the directories that were
// entered had been listed, and ends what has had to wait for earlier ones.
func (t *inotify) setFences() error {
	unset := func(m move) bool { return m.fence == notYet }
	if len(t.fresh) == 0 && len(t.moving) == 0 {
		return nil
	}
	for _, m := range t.moving {
		if unset(m) {
			t.passLock(m.dir)
		}
	}
	queued, err := unix.IoctlGetUint32(t.fd, unix.TIOCINQ) // FIONREAD
	if err != nil {
		return err
	}
	fence := t.read + uint64(queued)
	for i := range t.moving {
		if unset(t.moving[i]) {
			t.moving[i].fence = fence
		}
	}
	t.setFence(fence)
	return t.movedOut(func(m *move) bool { return m.fence <= t.read })
}
