package iocp

import (
	"sync"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// traits are what is known of a handle.
type traits struct {
	known    bool           // the rest was found out
	attached bool           // to this driver's port
	disk     bool           // a file or directory: it has offsets, and a position
	pipe     bool           // a named or anonymous pipe
	screen   *screen        // a console, as it is written to; nil: it is none
	socket   windows.Handle // as AFD knows it; 0: it is none
	signals  bool           // waiting for it is no I/O: an event, a process, a console's input
	protocol protocol       // of a socket
	direct   bool           // opened with FILE_FLAG_NO_BUFFERING
	appends  bool           // writes go to the end of the file wherever they are told to go
	skips    bool           // a call that succeeds at once posts no packet
	plain    bool           // a call that fails at once posts no packet, on Wine either
}

// target is what a request's FD stands for.
type target struct {
	h windows.Handle
	traits
	file *file // if it is a registered one
}

// file is an entry of the registered files: a duplicate of our own, which stays open while something is in flight on it.
type file struct {
	h windows.Handle
	traits
	of   *traits // the driver's of the handle that it is a duplicate of, if that was attached
	uses int     // blocks that have it
	gone bool    // it is no entry any more
}

// patience is how long a handle may take to answer a question.
const patience = time.Second

// Ask asks a question about a handle. Every question about a synchronous handle, its type included, waits while somebody reads from it
// (stdin, above all), so that another goroutine asks. A handle that doesn't answer in time, ok is false, is such a one; the goroutine
// waits on, and outlives its driver if need be. By then the handle's number may be another's, so that a question must change nothing.
func Ask[T any](question func() T) (answer T, ok bool) {
	answers := make(chan T, 1)
	go func() { answers <- question() }()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case answer = <-answers:
		return answer, true
	case <-late.C:
		return answer, false
	}
}

// Attach implements driver.Driver: it binds h to the port, for as long as what h refers to is open, duplicates included; once more changes
// nothing. Errors: ERROR_INVALID_HANDLE, driver.ErrNotOverlapped and driver.ErrOtherPort; after the latter two, requests work nevertheless,
// on threads. An attached handle is remembered under its number, and nothing tells whose port a handle has: who closes it past the driver
// detaches it first, or a request on the next handle of that number may wait for a packet that never comes, until it is cancelled.
func (d *Driver) Attach(h driver.Handle) error {
	t, err := d.probe(windows.Handle(h))
	if err == driver.ErrOtherPort {
		if known := d.handles.of(windows.Handle(h)); known != nil && known.attached { // the other one is ours
			return nil
		}
	}
	if t.known {
		d.handles.set(windows.Handle(h), &t)
	} else {
		d.handles.forget(windows.Handle(h))
	}
	return err
}

// handles are the handles that were attached, or are known not to be attachable, under their numbers. They have a lock of their own in both
// modes, since a file that nobody can reach any more is closed by whoever notices.
type handles struct {
	mu    sync.RWMutex
	known map[windows.Handle]*traits
}

// of is what is known of h, nil if nothing is.
func (hs *handles) of(h windows.Handle) *traits {
	hs.mu.RLock()
	defer hs.mu.RUnlock()
	return hs.known[h]
}

func (hs *handles) set(h windows.Handle, t *traits) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.known[h] = t
}

func (hs *handles) forget(h windows.Handle) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	delete(hs.known, h)
}

// Detach implements driver.Driver: it takes h from the port, which Windows 8.1 and later can if nothing is in flight on it. It fails with
// ErrUnsupported where the system can't (Wine); h then stays attached. A handle that is not attached is reported if it is not open.
func (d *Driver) Detach(h driver.Handle) error {
	w := windows.Handle(h)
	if !isHandle(w) {
		return windows.ERROR_INVALID_HANDLE
	}
	t := d.handles.of(w)
	if t == nil || !t.attached {
		d.handles.forget(w)
		return win32.IsOpen(w)
	}
	if err := win32.Detach(w); err != nil {
		switch err {
		case windows.ERROR_INVALID_FUNCTION, windows.ERROR_CALL_NOT_IMPLEMENTED, windows.ERROR_NOT_SUPPORTED, windows.ERROR_INVALID_PARAMETER:
			return errNoDetach
		case windows.ERROR_INVALID_HANDLE:
			d.handles.forget(w)
		}
		return err
	}
	d.detached(t)
	d.handles.forget(w)
	return nil
}

var errNoDetach = driver.Unsupported("this system binds a handle to its port for good, as Windows does before 8.1, and Wine")

// detached takes note that what had traits t is on the port no more, nor are its registered duplicates.
func (d *Driver) detached(t *traits) {
	d.lock()
	defer d.unlock()
	for _, f := range d.files {
		if f != nil && f.of == t {
			f.attached = false
		}
	}
}

// probe finds out what h is, and attaches it.
func (d *Driver) probe(h windows.Handle) (traits, error) {
	if !isHandle(h) {
		return traits{}, windows.ERROR_INVALID_HANDLE
	}
	type answer struct {
		t   traits
		err error
	}
	a, ok := Ask(func() answer {
		t, err := inquire(h)
		return answer{t, err}
	})
	switch {
	case !ok:
		return traits{}, driver.ErrNotOverlapped
	case a.err != nil:
		return a.t, a.err
	}
	return d.attach(h, a.t)
}

// isHandle reports whether h may be a handle: not a registered file, nor one of the negative numbers that stand for the current process and the like,
// which the system takes in many places.
func isHandle(h windows.Handle) bool {
	_, registered := driver.Handle(h).Registered()
	return !registered && int(h) > 0
}

// inquire finds out what h is, and says so if it can't be attached since it is no file or was not opened for overlapped I/O. It changes nothing, and
// may wait behind a synchronous call on the same handle.
func inquire(h windows.Handle) (t traits, err error) {
	mode, err := win32.Mode(h)
	if err == windows.ERROR_INVALID_HANDLE {
		return t, err
	}
	t.describe(h)
	if err != nil || mode&(windows.FILE_SYNCHRONOUS_IO_ALERT|windows.FILE_SYNCHRONOUS_IO_NONALERT) != 0 {
		return t, driver.ErrNotOverlapped
	}
	return t, nil
}

// attach binds h, which is overlapped, to the port. So it does not wait.
func (d *Driver) attach(h windows.Handle, t traits) (traits, error) {
	_, err := windows.CreateIoCompletionPort(h, d.port, keySystem, 0)
	switch {
	case err == windows.ERROR_INVALID_PARAMETER:
		return t, driver.ErrOtherPort
	case err != nil:
		return traits{}, err
	}
	t.attached = true
	// ReadDirectoryChangesW answers success when it is in progress, so that its success must not mean that no packet comes.
	if (t.disk && !win32.IsDirectory(h) || t.pipe || t.socket != 0 && win32.EverySocketIsAHandle()) && !isStandard(h) {
		t.skips = windows.SetFileCompletionNotificationModes(h, windows.FILE_SKIP_COMPLETION_PORT_ON_SUCCESS) == nil
	}
	return t, nil
}

// describe finds out what h is. It may wait behind a synchronous call on the same handle.
func (t *traits) describe(h windows.Handle) {
	t.known = true
	kind, _ := windows.GetFileType(h)
	switch kind {
	case windows.FILE_TYPE_DISK:
		t.disk = true
		t.appends = win32.AppendsOnly(h)
		mode, err := win32.Mode(h)
		t.direct = err == nil && mode&windows.FILE_NO_INTERMEDIATE_BUFFERING != 0
	case windows.FILE_TYPE_CHAR:
		var mode uint32
		if windows.GetConsoleMode(h, &mode) == nil {
			t.screen = newScreen()
		}
		var records uint32
		t.signals = windows.GetNumberOfConsoleInputEvents(h, &records) == nil
	case windows.FILE_TYPE_PIPE: // a socket, if it has no pipe's properties
		t.plain = true
		if t.pipe = windows.GetNamedPipeInfo(h, nil, nil, nil, nil) == nil; !t.pipe {
			t.describeSocket(h)
		}
	}
}

// isStandard reports whether h is one of the handles that a program is started with, whose modes others may share.
func isStandard(h windows.Handle) bool {
	for _, which := range []uint32{windows.STD_INPUT_HANDLE, windows.STD_OUTPUT_HANDLE, windows.STD_ERROR_HANDLE} {
		if s, err := windows.GetStdHandle(which); err == nil && s == h {
			return true
		}
	}
	return false
}

// target is what h stands for. It reports false for an entry of the registered files that is empty or isn't there. The lock is held.
func (d *Driver) target(h driver.Handle) (target, bool) {
	if i, registered := h.Registered(); registered {
		f := d.starting
		if f == nil && i < len(d.files) {
			f = d.files[i]
		}
		if f == nil {
			return target{}, false
		}
		return target{f.h, f.traits, f}, true
	}
	t := target{h: windows.Handle(h)}
	if known := d.handles.of(t.h); known != nil {
		t.traits = *known
	}
	return t, true
}

// RegisterFiles implements driver.Driver. It duplicates the handles, so that the entries stay open when the originals are closed.
// ^Handle(0) makes an empty entry.
func (d *Driver) RegisterFiles(hs []driver.Handle) error {
	files := make([]*file, len(hs))
	for i, h := range hs {
		if h == ^driver.Handle(0) {
			continue
		}
		files[i] = &file{}
		if err := d.duplicate(windows.Handle(h), files[i]); err != nil {
			retire(files)
			return err
		}
	}
	d.lock()
	defer d.unlock()
	retire(d.files)
	d.files = files
	return nil
}

// duplicate makes f a duplicate of h, which is attached to the port if h is.
func (d *Driver) duplicate(h windows.Handle, f *file) error {
	self := windows.CurrentProcess()
	if err := windows.DuplicateHandle(self, h, self, &f.h, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		return err
	}
	if t := d.handles.of(h); t != nil && t.attached {
		f.traits, f.of = *t, t
		if t.socket != 0 { // by this handle, since the original may be closed before
			f.describeSocket(f.h)
		}
		return nil
	}
	var err error
	f.traits, err = d.probe(f.h)
	if err == driver.ErrNotOverlapped || err == driver.ErrOtherPort {
		err = nil
	}
	return err
}

// retire closes files that are no entries any more, as soon as nothing is in flight on them. The lock is held.
func retire(files []*file) {
	for _, f := range files {
		if f != nil {
			f.gone = true
			f.closeUnused()
		}
	}
}

func (f *file) closeUnused() {
	if f.gone && f.uses == 0 && f.h != 0 {
		closeHandle(f.h, f.socket != 0)
	}
}
