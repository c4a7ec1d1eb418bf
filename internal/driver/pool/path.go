//go:build unix

package pool

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func execOpen(r *driver.Request, dir, _ int) (int, error) {
	return unix.Openat(dir, r.Ext.Path, int(r.Arg)|unix.O_CLOEXEC, r.Arg2)
}

// startOpen leaves an open that may wait for its peer to stepOpen.
func (d *Driver) startOpen(r *driver.Request) bool {
	if r.Flags&driver.Waits != 0 && r.Arg&unix.O_NONBLOCK == 0 {
		return d.startOnWorker(r, stepwise)
	}
	return d.startOnWorker(r, 0)
}

// stepOpen gives an open that does wait, of a FIFO or a device, a thread of its own.
func (d *Driver) stepOpen(r *driver.Request, dir, _ int) outcome {
	if !opensSlowly(r, dir) {
		execute(r, dir, 0)
		return finished
	}
	d.mu.Lock()
	d.runOutside(r, d.openInterruptibly)
	d.mu.Unlock()
	return elsewhere
}

// opensSlowly reports whether r's path is one whose open may wait for somebody else. If it can't be told, the open itself will
// say what is wrong.
func opensSlowly(r *driver.Request, dir int) bool {
	flags := 0
	if r.Arg&unix.O_NOFOLLOW != 0 {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	var st unix.Stat_t
	if unix.Fstatat(dir, r.Ext.Path, &st, flags) != nil {
		return false
	}
	mode := uint32(st.Mode) & unix.S_IFMT
	return mode == unix.S_IFIFO || mode == unix.S_IFCHR
}

// Opens carries out opens that may wait, for a driver whose system can't do so itself. It is a pool without workers.
type Opens struct{ d Driver }

// NewOpens makes one. There is nothing to close.
func NewOpens() *Opens { return &Opens{Driver{blocked: map[*driver.Request]*blocked{}}} }

// Slow reports whether r's path is one whose open may wait for somebody else.
func (o *Opens) Slow(r *driver.Request) bool { return opensSlowly(r, o.d.descriptor(r)) }

// Run opens r's path as a blocking open does, and returns when that is done or cancelled.
func (o *Opens) Run(r *driver.Request) {
	r.Reset()
	if o.d.openInterruptibly(r) != finished {
		canceled(r)
	}
}

// Cancel ends Run, or lets it end as soon as it begins.
func (o *Opens) Cancel(r *driver.Request) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	r.State.Canceling = true
	if b := o.d.blocked[r]; b != nil {
		b.interrupt()
	}
}

// execClose: an interrupted close has closed all the same, or at least must not be repeated, since the number may have a new
// owner already.
func execClose(_ *driver.Request, fd, _ int) (int, error) {
	if err := unix.Close(fd); err != unix.EINTR {
		return 0, err
	}
	return 0, nil
}

// startClose leaves a registered file to stepClose.
func (d *Driver) startClose(r *driver.Request) bool {
	if _, ok := r.FD.Registered(); ok {
		return d.startOnWorker(r, stepwise)
	}
	return d.startOnWorker(r, 0)
}

// stepClose closes an entry of the registered files and leaves it empty.
func (d *Driver) stepClose(r *driver.Request, _, _ int) outcome {
	i, _ := r.FD.Registered()
	if !d.remove(i) {
		conclude(r, 0, unix.EBADF)
	}
	return finished
}

func execStat(r *driver.Request, fd, _ int) (int, error) {
	if r.Ext.Stat == nil {
		return 0, unix.EFAULT
	}
	return 0, stat(fd, r.Ext.Path, r.Arg, r.Ext.Stat)
}

func execUnlink(r *driver.Request, dir, _ int) (int, error) {
	return 0, unix.Unlinkat(dir, r.Ext.Path, int(r.Arg))
}

func execRename(r *driver.Request, dir, dir2 int) (int, error) {
	if r.Arg == 0 {
		return 0, unix.Renameat(dir, r.Ext.Path, dir2, r.Ext.Path2)
	}
	return 0, renameWithFlags(dir, r.Ext.Path, dir2, r.Ext.Path2, r.Arg)
}

func execMkdir(r *driver.Request, dir, _ int) (int, error) {
	return 0, unix.Mkdirat(dir, r.Ext.Path, r.Arg2)
}

func execLink(r *driver.Request, dir, dir2 int) (int, error) {
	return 0, linkat(dir, r.Ext.Path, dir2, r.Ext.Path2, int(r.Arg))
}
