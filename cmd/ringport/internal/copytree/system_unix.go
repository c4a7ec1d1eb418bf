//go:build unix

package copytree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

const adviceDontNeed = 4 // POSIX_FADV_DONTNEED, the same where there is such a call

var reasons = []reason{
	{unix.ENOSPC, "the disk is full"},
	{unix.EDQUOT, "the quota on this disk is used up"},
}

// isFull reports whether err says that a file of this size cannot be.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// fileID tells files apart by what they are and not by their names.
type fileID struct{ device, inode uint64 }

func (id fileID) known() bool { return id != fileID{} }

// status is what a file is, apart from its content. Sizes in bytes; stored is what it takes on the disk.
type status struct {
	mode               fs.FileMode
	size, stored       int64
	accessed, modified time.Time
	id                 fileID
	links              uint64
	uid, gid           int
}

// statusOf describes what is named path, a link as a link. See lstat(2).
func statusOf(path string) (status, error) {
	var st unix.Stat_t
	if err := patiently(func() error { return unix.Lstat(path, &st) }); err != nil {
		return status{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return newStatus(&st), nil
}

func newStatus(st *unix.Stat_t) status {
	raw := uint32(st.Mode)
	mode := fs.FileMode(raw & 0o777)
	switch raw & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	if raw&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if raw&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if raw&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return status{mode: mode, size: st.Size, stored: int64(st.Blocks) * 512, accessed: time.Unix(st.Atim.Unix()),
		modified: time.Unix(st.Mtim.Unix()), id: fileID{uint64(st.Dev), uint64(st.Ino)}, links: uint64(st.Nlink),
		uid: int(st.Uid), gid: int(st.Gid)}
}

// patiently repeats a call that a signal interrupted, which file systems in user space allow.
func patiently(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// openOriginal opens a file to be copied. If it has become a link or a FIFO, it neither follows nor waits.
func openOriginal(_ context.Context, m *ringport.Manager, path string) (*ringport.File, status, error) {
	f, err := open(m, path, path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, status{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, status{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return f, newStatus(&st), nil
}

// createUnfinished makes a file that nobody else may look into yet. Errors show the name that it will have.
func createUnfinished(_ context.Context, m *ringport.Manager, path, final string) (*ringport.File, error) {
	return open(m, path, final, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

// open makes the system call here: it rarely waits for a disk, and handing it over would cost more than it takes.
func open(m *ringport.Manager, path, name string, flags int) (*ringport.File, error) {
	fd := -1
	err := patiently(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f, err := m.NewFile(ringport.Handle(fd), name)
	if err != nil {
		unix.Close(fd)
	}
	return f, err
}

// rename takes away the temporary name of what has become final.
func rename(tmp, final string) error {
	if err := patiently(func() error { return unix.Rename(tmp, final) }); err != nil {
		return &fs.PathError{Op: "rename", Path: final, Err: err}
	}
	return nil
}

// isDevice: no name is special by itself.
func isDevice(string) bool { return false }

func symlink(behind, path string, _ status) error { return os.Symlink(behind, path) }

// giveOpen is give for a file that is open.
func (st *status) giveOpen(_ *ringport.File, path string) error { return st.give(path) }

// fromDisk has the system write f to the disk and drop it from its cache, where it can, so that what is read next comes from the disk.
func fromDisk(ctx context.Context, m *ringport.Manager, f *ringport.File, _ string) (*ringport.File, error) {
	if err := f.WithContext(ctx).Datasync(); err != nil {
		return nil, err
	}
	op := ringport.Fadvise(ringport.Handle(f.Fd()), 0, 0, adviceDontNeed)
	m.Do(ctx, &op) // it is advice: not to be able to is no failure
	return f, nil
}

// give makes path's owner, mode and times those of st. Only root can give files away; for others a file that would act as its
// owner does not act as its copier.
func (st *status) give(path string) error {
	mode := st.mode
	ours := st.uid == os.Geteuid() && st.gid == os.Getegid()
	if os.Geteuid() == 0 && os.Lchown(path, st.uid, st.gid) == nil {
		ours = true
	}
	if !ours {
		mode &^= fs.ModeSetuid | fs.ModeSetgid
	}
	if mode&fs.ModeSymlink == 0 { // links have none
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	times := make([]unix.Timespec, 2)
	for i, t := range []time.Time{st.accessed, st.modified} {
		spec, err := unix.TimeToTimespec(t)
		if err != nil {
			return &fs.PathError{Op: "utimensat", Path: path, Err: err}
		}
		times[i] = spec
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimensat", Path: path, Err: err}
	}
	return nil
}

// syncFolder writes a folder's names to the disk.
func syncFolder(ctx context.Context, m *ringport.Manager, path string) error {
	d, err := open(m, path, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.WithContext(ctx).Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: nothing to be synced there
		return err
	}
	return nil
}
