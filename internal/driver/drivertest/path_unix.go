//go:build unix

package drivertest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

var pathTests = []test{
	{name: "Open", run: open},
	{name: "OpenClosesOnExec", run: openClosesOnExec},
	{name: "Close", run: closeKind},
	{name: "Stat", run: statAll},
	{name: "StatOfTheHandleItself", run: statHandle},
	{name: "Unlink", run: unlink},
	{name: "Rename", run: rename},
	{name: "Mkdir", run: mkdir},
	{name: "Link", run: link},
	{name: "Law8BadPaths", run: badPaths},
	{name: "Law8DescriptorTableFull", run: tableFull},
	{name: "Law6OpenWithoutDescriptors", run: openWithoutDescriptors},
}

func openAt(dir driver.Handle, path string, flags int, perm uint32) *driver.Request {
	return &driver.Request{Kind: driver.Open, FD: dir, Arg: uint32(flags), Arg2: perm, Ext: &driver.Ext{Path: path}}
}

func stat(dir driver.Handle, path string, flags uint32) *driver.Request {
	return &driver.Request{Kind: driver.Stat, FD: dir, Arg: flags, Ext: &driver.Ext{Path: path, Stat: new(driver.FileStat)}}
}

func unlinkAt(dir driver.Handle, path string, flags uint32) *driver.Request {
	return &driver.Request{Kind: driver.Unlink, FD: dir, Arg: flags, Ext: &driver.Ext{Path: path}}
}

func mkdirAt(dir driver.Handle, path string, perm uint32) *driver.Request {
	return &driver.Request{Kind: driver.Mkdir, FD: dir, Arg2: perm, Ext: &driver.Ext{Path: path}}
}

func twoPaths(k driver.Kind, dir driver.Handle, path string, dir2 driver.Handle, path2 string, flags uint32) *driver.Request {
	return &driver.Request{Kind: k, FD: dir, Arg: flags, Ext: &driver.Ext{Path: path, FD2: dir2, Path2: path2}}
}

func (f *fixture) tempDir() (path string, dir driver.Handle) {
	path = f.TempDir()
	return path, f.openFile(path, unix.O_RDONLY|unix.O_DIRECTORY)
}

func open(f *fixture) {
	path, dir := f.tempDir()
	old := unix.Umask(0o027)
	defer unix.Umask(old)
	for _, flags := range []driver.Flags{0, driver.Waits, driver.Inline} {
		r := openAt(dir, "file", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o666)
		r.Flags = flags
		n, err := f.do(r)
		if err != nil {
			f.Fatal(err)
		}
		h := f.keep(driver.Handle(n))
		f.must(write(h, "content", 0), 7)
		info, err := os.Lstat(filepath.Join(path, "file"))
		if err != nil || info.Mode() != 0o640 {
			f.Errorf("made with mode %v, %v", info.Mode(), err)
		}
		f.fails(r, unix.EEXIST)
		again := openAt(driver.CurrentDir, filepath.Join(path, "file"), unix.O_RDONLY, 0)
		again.Flags = flags
		if n, err = f.do(again); err != nil {
			f.Fatal(err)
		}
		q := read(f.keep(driver.Handle(n)), 16, 0)
		f.must(q, 7)
		f.must(unlinkAt(dir, "file", 0), 0)
	}
	f.Chdir(path)
	if err := os.WriteFile("here", nil, 0o644); err != nil {
		f.Fatal(err)
	}
	n, err := f.do(openAt(driver.CurrentDir, "here", unix.O_RDONLY, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.keep(driver.Handle(n))
}

// openClosesOnExec: a descriptor that a driver opens does not leak into children, as Go's own don't.
func openClosesOnExec(f *fixture) {
	for _, flags := range []driver.Flags{0, driver.Waits} {
		r := openAt(driver.CurrentDir, f.tempFile(""), unix.O_RDONLY, 0)
		r.Flags = flags
		n, err := f.do(r)
		if err != nil {
			f.Fatal(err)
		}
		h := f.keep(driver.Handle(n))
		if v, err := unix.FcntlInt(uintptr(h), unix.F_GETFD, 0); err != nil || v&unix.FD_CLOEXEC == 0 {
			f.Errorf("descriptor flags %#x, %v", v, err)
		}
	}
}

func closeKind(f *fixture) {
	h := f.openFile(f.tempFile("content"), unix.O_RDONLY)
	delete(f.handles, h) // the driver closes it
	f.must(&driver.Request{Kind: driver.Close, FD: h}, 0)
	f.fails(read(h, 1, 0), unix.EBADF)
	f.fails(&driver.Request{Kind: driver.Close, FD: h}, unix.EBADF)
	for _, h := range []driver.Handle{badHandle, ^driver.Handle(0)} {
		f.fails(&driver.Request{Kind: driver.Close, FD: h}, unix.EBADF)
	}
	r, w := f.pipe()
	delete(f.handles, w)
	f.must(&driver.Request{Kind: driver.Close, FD: w}, 0)
	f.must(read(r, 1, driver.CurrentOffset), 0)
}

// statAll compares with what os.Lstat and os.Stat say of files of every type.
func statAll(f *fixture) {
	path, dir := f.tempDir()
	f.Chdir(path)
	check := func(err error) {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
	}
	check(os.WriteFile("regular", make([]byte, 12345), 0o640))
	check(os.Mkdir("dir", 0o755))
	check(os.Chmod("dir", 0o775|fs.ModeSticky|fs.ModeSetgid))
	check(os.WriteFile("setuid", nil, 0o755))
	check(os.Chmod("setuid", 0o755|fs.ModeSetuid))
	check(os.Symlink("regular", "symlink"))
	check(os.Link("regular", "second"))
	check(unix.Mkfifo("fifo", 0o600))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	check(err)
	f.keep(driver.Handle(fd))
	check(unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}))
	for _, name := range []string{"regular", "second", "dir", "setuid", "symlink", "fifo", "socket", ".", "/dev/null", "/dev"} {
		r := stat(dir, name, unix.AT_SYMLINK_NOFOLLOW)
		f.must(r, 0)
		want, err := os.Lstat(name)
		check(err)
		sameStat(f, name, r.Ext.Stat, want)
	}
	r := stat(dir, "symlink", 0)
	f.must(r, 0)
	want, err := os.Stat("symlink")
	check(err)
	sameStat(f, "what symlink names", r.Ext.Stat, want)
}

func sameStat(f *fixture, name string, s *driver.FileStat, want fs.FileInfo) {
	f.Helper()
	sys := want.Sys().(*syscall.Stat_t)
	if s.SizeBytes != want.Size() || s.Mode != want.Mode() || !s.ModTime.Equal(want.ModTime()) {
		f.Errorf("%s: %d bytes, %v, %v; os says %d, %v, %v", name, s.SizeBytes, s.Mode, s.ModTime, want.Size(), want.Mode(),
			want.ModTime())
	}
	if s.Inode != uint64(sys.Ino) || s.Device != uint64(sys.Dev) || s.LinkCount != uint64(sys.Nlink) || s.UID != sys.Uid ||
		s.GID != sys.Gid || s.BlockBytes != int64(sys.Blksize) || s.Blocks != int64(sys.Blocks) {
		f.Errorf("%s: %+v; os says %+v", name, *s, *sys)
	}
	sameTimes(f, name, s, sys)
}

// statHandle: an empty path means the handle, whatever it is.
func statHandle(f *fixture) {
	path, dir := f.tempDir()
	file := f.openFile(f.tempFile("content"), unix.O_RDONLY)
	r, _ := f.pipe()
	q := stat(dir, "", 0)
	f.must(q, 0)
	want, err := os.Stat(path)
	if err != nil {
		f.Fatal(err)
	}
	sameStat(f, "directory", q.Ext.Stat, want)
	q = stat(file, "", 0)
	f.must(q, 0)
	if q.Ext.Stat.SizeBytes != 7 || !q.Ext.Stat.Mode.IsRegular() {
		f.Errorf("file: %+v", *q.Ext.Stat)
	}
	q = stat(r, "", 0)
	if f.must(q, 0); q.Ext.Stat.Mode.Type() != fs.ModeNamedPipe {
		f.Errorf("pipe: %+v", *q.Ext.Stat)
	}
	f.fails(stat(badHandle, "", 0), unix.EBADF)
}

func unlink(f *fixture) {
	path, dir := f.tempDir()
	f.Chdir(path)
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		f.Fatal(err)
	}
	if err := os.MkdirAll("dir/inner", 0o755); err != nil {
		f.Fatal(err)
	}
	f.fails(unlinkAt(dir, "file", unix.AT_REMOVEDIR), unix.ENOTDIR)
	f.must(unlinkAt(dir, "file", 0), 0)
	f.fails(unlinkAt(dir, "file", 0), unix.ENOENT)
	isDir := error(unix.EPERM) // POSIX
	if runtime.GOOS == "linux" {
		isDir = unix.EISDIR
	}
	f.fails(unlinkAt(dir, "dir", 0), isDir)
	f.fails(unlinkAt(dir, "dir", unix.AT_REMOVEDIR), unix.ENOTEMPTY)
	f.must(unlinkAt(dir, "dir/inner", unix.AT_REMOVEDIR), 0)
	f.must(unlinkAt(driver.CurrentDir, "dir", unix.AT_REMOVEDIR), 0)
	if names, err := os.ReadDir("."); err != nil || len(names) != 0 {
		f.Errorf("left: %v, %v", names, err)
	}
}

func rename(f *fixture) {
	path, dir := f.tempDir()
	f.Chdir(path)
	other := f.TempDir()
	if err := os.WriteFile("file", []byte("content"), 0o644); err != nil {
		f.Fatal(err)
	}
	f.must(twoPaths(driver.Rename, dir, "file", driver.CurrentDir, "new", 0), 0)
	f.must(twoPaths(driver.Rename, driver.CurrentDir, "new", f.openFile(other, unix.O_RDONLY), "there", 0), 0)
	if s := f.content(filepath.Join(other, "there")); s != "content" {
		f.Errorf("renamed: %q", s)
	}
	f.fails(twoPaths(driver.Rename, dir, "file", dir, "new", 0), unix.ENOENT)
	f.fails(twoPaths(driver.Rename, dir, ".", badHandle, "new", 0), unix.EBADF)
}

func mkdir(f *fixture) {
	path, dir := f.tempDir()
	old := unix.Umask(0o022)
	defer unix.Umask(old)
	f.must(mkdirAt(dir, "made", 0o777), 0)
	if info, err := os.Stat(filepath.Join(path, "made")); err != nil || info.Mode() != fs.ModeDir|0o755 {
		f.Errorf("%v, %v", info, err)
	}
	f.fails(mkdirAt(dir, "made", 0o777), unix.EEXIST)
	f.fails(mkdirAt(dir, "missing/made", 0o777), unix.ENOENT)
	f.must(mkdirAt(driver.CurrentDir, filepath.Join(path, "made", "inner"), 0o700), 0)
}

func link(f *fixture) {
	path, dir := f.tempDir()
	f.Chdir(path)
	if err := os.WriteFile("file", []byte("content"), 0o644); err != nil {
		f.Fatal(err)
	}
	if err := os.Symlink("file", "symlink"); err != nil {
		f.Fatal(err)
	}
	f.must(twoPaths(driver.Link, dir, "file", driver.CurrentDir, "second", 0), 0)
	f.must(twoPaths(driver.Link, dir, "symlink", dir, "followed", unix.AT_SYMLINK_FOLLOW), 0)
	info, err := os.Lstat("followed")
	if err != nil || !info.Mode().IsRegular() || f.content("second") != "content" {
		f.Errorf("%v, %v", info, err)
	}
	f.fails(twoPaths(driver.Link, dir, "file", dir, "second", 0), unix.EEXIST)
	f.fails(twoPaths(driver.Link, dir, "missing", dir, "third", 0), unix.ENOENT)
}

// badPaths: what is wrong with a path is the same for every kind that takes one.
func badPaths(f *fixture) {
	path, dir := f.tempDir()
	f.Chdir(path)
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		f.Fatal(err)
	}
	if err := os.Symlink("loop", "loop"); err != nil {
		f.Fatal(err)
	}
	file := f.openFile("file", unix.O_RDONLY)
	for _, c := range []struct {
		dir  driver.Handle
		path string
		want error
	}{
		{dir, "missing/inner", unix.ENOENT},
		{dir, "file/inner", unix.ENOTDIR},
		{file, "inner", unix.ENOTDIR},
		{badHandle, "inner", unix.EBADF},
		{^driver.Handle(0), "inner", unix.EBADF},
		{dir, strings.Repeat("x", 300), unix.ENAMETOOLONG},
		{dir, strings.Repeat("x/", 5000), unix.ENAMETOOLONG},
		{dir, "loop/inner", unix.ELOOP},
		{dir, "nul\x00byte", unix.EINVAL},
	} {
		for _, r := range []*driver.Request{
			openAt(c.dir, c.path, unix.O_RDONLY, 0), openAt(c.dir, c.path, unix.O_RDWR|unix.O_CREAT, 0o644),
			stat(c.dir, c.path, 0), unlinkAt(c.dir, c.path, 0), unlinkAt(c.dir, c.path, unix.AT_REMOVEDIR),
			mkdirAt(c.dir, c.path, 0o755), twoPaths(driver.Rename, c.dir, c.path, dir, "new", 0),
			twoPaths(driver.Rename, dir, "file", c.dir, c.path, 0), twoPaths(driver.Link, c.dir, c.path, dir, "new", 0),
			twoPaths(driver.Link, dir, "file", c.dir, c.path, 0),
		} {
			if n, err := f.do(r); err != c.want || n != 0 {
				f.Errorf("%v of %.30q, %.30q: %d, %v; want %v", r.Kind, r.Ext.Path, r.Ext.Path2, n, err, c.want)
			}
		}
	}
	f.fails(openAt(dir, "", unix.O_RDONLY, 0), unix.ENOENT)
	f.fails(openAt(dir, ".", unix.O_WRONLY, 0), unix.EISDIR)
	f.fails(openAt(dir, "loop", unix.O_RDONLY|unix.O_NOFOLLOW, 0), unix.ELOOP)
	f.fails(mkdirAt(dir, "", 0o755), unix.ENOENT)
	f.fails(unlinkAt(dir, "", 0), unix.ENOENT)
	if names, err := os.ReadDir("."); err != nil || len(names) != 2 {
		f.Errorf("left: %v, %v", names, err)
	}
}

// exhaust lowers the descriptor limit and takes every descriptor but spare. The function that it returns gives them back.
func exhaust(f *fixture, spare int) (restore func()) {
	f.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		f.Fatal(err)
	}
	low := old
	low.Cur = min(256, old.Cur)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		f.Fatal(err)
	}
	var taken []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	for _, fd := range taken[len(taken)-spare:] {
		unix.Close(fd)
	}
	return func() {
		for _, fd := range taken[:len(taken)-spare] {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			f.Fatal(err)
		}
	}
}

func tableFull(f *fixture) {
	path := f.tempFile("content")
	f.must(stat(driver.CurrentDir, path, 0), 0)
	defer exhaust(f, 0)()
	r := openAt(driver.CurrentDir, path, unix.O_RDONLY, 0)
	f.fails(r, unix.EMFILE)
	r.Flags = driver.Waits
	f.fails(r, unix.EMFILE)
}

// openWithoutDescriptors: EMFILE is an error and no reason to fall back to another backend, wherever it strikes, and leaves nothing.
func openWithoutDescriptors(f *fixture) {
	opened := false
	for spare := 0; !opened; spare++ {
		restore := exhaust(f, spare)
		d, err := f.open(driver.Options{Owned: f.owned, Depth: usualDepth, MaxThreads: usualThreads})
		restore()
		if err == nil {
			opened = true
			if err := d.Close(); err != nil {
				f.Error(err)
			}
			continue
		}
		if _, unavailable := err.(*driver.UnavailableError); unavailable || !errors.Is(err, unix.EMFILE) {
			f.Fatalf("with %d descriptors: %v", spare, err)
		}
		if spare > 20 {
			f.Fatalf("more than %d descriptors for a driver", spare)
		}
	}
}
