package ringport

import (
	"context"
	"errors"
	"io/fs"
	"iter"

	"github.com/ringport/ringport/internal/ctxend"
)

// DirOptions say what [Manager.WatchDir] watches. The zero value watches one directory.
type DirOptions struct {
	// Recursive: all directories below as well, those that are made later included. Symbolic links are not followed.
	Recursive bool
}

// DirEvent is a change in a watched directory. Names are relative to it, as the system writes them: filepath.Join(path, event.Name) or
// os.Root.Open(event.Name) is the file.
type DirEvent struct {
	Op      DirOp
	Name    string // what has changed; empty in a DirRescan
	OldName string // its name before a DirRename, else empty
}

// DirOp is what a [DirEvent] says about its name.
type DirOp uint8

// What happens to names. See [Manager.WatchDir] for what each promises.
const (
	DirRescan    DirOp = iota + 1 // changes are reported from here on; what was there or happened before is to be looked up
	DirCreate                     // there is something new under this name: made, linked, or moved here from elsewhere
	DirRemove                     // there is nothing under this name any more, nor below it
	DirRename                     // what had OldName has Name now, with all that is below it, in place of what was there
	DirWrite                      // the content has changed
	DirAttribute                  // permissions, times, owner, links or the like have changed
)

var dirOpNames = [...]string{"none", "rescan", "create", "remove", "rename", "write", "attribute"}

// String is "create", "remove" and so on.
func (op DirOp) String() string {
	if int(op) < len(dirOpNames) {
		return dirOpNames[op]
	}
	return "unknown"
}

// ErrDirGone says that a watched directory was removed, renamed or unmounted. It matches fs.ErrNotExist.
var ErrDirGone error = &sentinel{"the watched directory is gone", fs.ErrNotExist}

// WatchDir reports what changes in the directory path, until ctx ends or the loop over it is left:
//
//	for event, err := range m.WatchDir(ctx, path, ringport.DirOptions{Recursive: true}) {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// The first event is a DirRescan: the directory is watched by now, and whoever wants to know what is in it lists it while handling that
// event. Another DirRescan comes whenever changes were lost, since they came faster than they were taken; it is to be answered in the same
// way. Nothing is ever lost without one.
//
// Who applies all events, in order, to what he listed last has what is in the directory when there are no more of them, if he knows three
// things. Events say where to look and not what is there: a file is read later than the event, when it may have changed again, for
// which there is another event then. Changes that happened before a listing may be reported after it, so that a DirCreate may be of
// something that is known and a DirRemove, or a DirWrite, of something that is not. And what a new directory
// has in it is reported after it by a DirCreate each, however it got there, and so is all that changes there from then on.
//
// A move within the directory is a DirRename if the system tells what belongs together and nothing had to be listed that may have seen
// the move already, in particular while a DirRescan was being handled; else it is a DirRemove and a DirCreate.
//
// The last pair has an error, and no event, unless the loop was left before: an *[OpError] that wraps ctx's error, ErrManagerClosed,
// [ErrDirGone], what the system says to path (ENOENT, ENOTDIR, …), ENOSPC or EMFILE where it watches no more (Linux:
// fs.inotify.max_user_watches and max_user_instances), [ErrUnsupported] on systems other than Linux and Windows. Each loop over the result is a watch of
// its own. It runs on the caller's goroutine, which on a caller-driven manager is the owner's, and leaves nothing behind.
// See inotify(7), ReadDirectoryChangesW; docs/semantics.md has the differences.
func (m *Manager) WatchDir(ctx context.Context, path string, options DirOptions) iter.Seq2[DirEvent, error] {
	return func(yield func(DirEvent, error) bool) {
		w := &dirWatch{m: m, ctx: ctx, path: path, recursive: options.Recursive, yield: yield}
		err := w.over()
		if err == nil {
			err = w.run()
		}
		if err != errLoopLeft {
			yield(DirEvent{}, &OpError{Op: "watch", Name: path, Err: err})
		}
	}
}

// dirWatch is one loop over WatchDir's events. Its run is the system's.
type dirWatch struct {
	m         *Manager
	ctx       context.Context
	path      string
	recursive bool
	yield     func(DirEvent, error) bool
}

var (
	// errLoopLeft ends run when the body has left the loop. Nobody gets to see it.
	errLoopLeft = errors.New("the loop was left")
	// errChangesLost makes run begin anew, with a DirRescan.
	errChangesLost = errors.New("changes were lost")
)

// emit hands an event to the loop's body.
func (w *dirWatch) emit(op DirOp, name, oldName string) error {
	if err := w.over(); err != nil {
		return err
	}
	if !w.yield(DirEvent{op, name, oldName}, nil) {
		return errLoopLeft
	}
	return nil
}

// over is why the watch is to end.
func (w *dirWatch) over() error {
	if w.ctx.Err() != nil {
		return ctxend.Cause(w.ctx)
	}
	if w.m.closing() {
		return ErrManagerClosed
	}
	return nil
}

// do runs one of the watch's operations, whose error is the watch's.
func (w *dirWatch) do(op *Op) (int, error) {
	n, err := w.m.Do(w.ctx, op)
	if err != nil {
		err = causeIn(err)
	}
	return n, err
}

// causeIn is what err says beside the operation and the name, which are the watch's.
func causeIn(err error) error {
	var op *OpError
	var path *fs.PathError
	switch {
	case errors.As(err, &op):
		return op.Err
	case errors.As(err, &path):
		return path.Err
	}
	return err
}
