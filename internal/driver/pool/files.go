//go:build unix

package pool

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// files are the registered files: our own duplicates, which stay open when the originals are closed. A request holds those that
// it names from Submit until it is back, so that it goes on with what it began with, whatever is registered meanwhile.
type files struct {
	mu    sync.Mutex
	table []*file // nil: an empty entry
	held  map[*driver.Request]heldFiles
}

// file is a duplicate. The last who lets go of it closes it: the table, or a request.
type file struct{ fd, users int }

// heldFiles are a request's registered files, nil where it names none or an empty entry.
type heldFiles struct{ first, second *file }

// namesFiles reports whether r names registered files.
func namesFiles(r *driver.Request) bool {
	_, first := r.FD.Registered()
	if r.Ext == nil {
		return first
	}
	_, second := r.Ext.FD2.Registered()
	return first || second
}

// hold comes before r is started.
func (fs *files) hold(r *driver.Request) {
	if !namesFiles(r) {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	h := heldFiles{first: fs.use(r.FD)}
	if r.Ext != nil {
		h.second = fs.use(r.Ext.FD2)
	}
	if fs.held == nil {
		fs.held = map[*driver.Request]heldFiles{}
	}
	fs.held[r] = h
}

func (fs *files) use(h driver.Handle) *file {
	i, ok := h.Registered()
	if !ok || i >= len(fs.table) || fs.table[i] == nil {
		return nil
	}
	fs.table[i].users++
	return fs.table[i]
}

// letGo comes when r is back.
func (fs *files) letGo(r *driver.Request) {
	if !namesFiles(r) {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	h := fs.held[r]
	delete(fs.held, r)
	h.first.leave()
	h.second.leave()
}

func (f *file) leave() {
	if f == nil {
		return
	}
	if f.users--; f.users == 0 {
		unix.Close(f.fd)
	}
}

func (f *file) descriptor() int {
	if f == nil {
		return -1
	}
	return f.fd
}

// descriptor is r.FD as a system call takes it, -1 if it can't be one.
func (fs *files) descriptor(r *driver.Request) int {
	if _, ok := r.FD.Registered(); !ok {
		return descriptor(r.FD)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.held[r].first.descriptor()
}

// descriptor2 is the same of r.Ext.FD2.
func (fs *files) descriptor2(r *driver.Request) int {
	if r.Ext == nil {
		return 0
	}
	if _, ok := r.Ext.FD2.Registered(); !ok {
		return descriptor(r.Ext.FD2)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.held[r].second.descriptor()
}

// isOpen reports whether entry i has a file.
func (fs *files) isOpen(i int) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return i < len(fs.table) && fs.table[i] != nil
}

// remove empties entry i, and reports whether there was something in it.
func (fs *files) remove(i int) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if i >= len(fs.table) || fs.table[i] == nil {
		return false
	}
	fs.table[i].leave()
	fs.table[i] = nil
	return true
}

// RegisterFiles implements driver.Driver. It duplicates the descriptors. -1 makes an empty entry, as in io_uring_register(2). When it
// fails, everything is as it was.
func (fs *files) RegisterFiles(hs []driver.Handle) error {
	table := make([]*file, len(hs))
	for i, h := range hs {
		if h == ^driver.Handle(0) {
			continue
		}
		fd, err := unix.FcntlInt(uintptr(descriptor(h)), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			leaveAll(table)
			return err
		}
		table[i] = &file{fd, 1}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	leaveAll(fs.table)
	fs.table = table
	return nil
}

func leaveAll(table []*file) {
	for _, f := range table {
		f.leave()
	}
}
