package drivertest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

var syncTests = []test{
	{name: "Fsync", run: func(f *fixture) { flushFile(f, driver.Fsync) }},
	{name: "Fdatasync", run: func(f *fixture) { flushFile(f, driver.Fdatasync) }},
	{name: "Law3CancelFlushOfAPipe", run: cancelFlush},
	{name: "Truncate", run: truncate},
	{name: "Fallocate", run: fallocate},
	{name: "FadviseIsIgnored", run: func(f *fixture) {
		f.must(&driver.Request{Kind: driver.Fadvise, FD: f.openFile(f.tempFile(""), os.O_RDWR), Arg: 3}, 0)
		f.fails(&driver.Request{Kind: driver.Fadvise, FD: badHandle}, windows.ERROR_INVALID_HANDLE)
	}},
}

var pathTests = []test{
	{name: "Open", run: open},
	{name: "OpenEmptied", run: openEmptied},
	{name: "OpenRelative", run: openRelative},
	{name: "RelativePaths", run: relativePaths},
	{name: "RelativePathsOfADirectoryThatMoves", run: movingDirectory},
	{name: "OpenLongPath", run: openLong},
	{name: "Close", run: closeKind},
	{name: "Stat", run: statAll},
	{name: "Unlink", run: unlink},
	{name: "Rename", run: rename},
	{name: "MkdirAndLink", run: mkdirLink},
	{name: "Law8BadPaths", run: badPaths},
}

func flushFile(f *fixture, k driver.Kind) {
	file := f.openFile(f.tempFile("content"), os.O_RDWR)
	f.must(write(file, "C", 0), 1)
	f.must(&driver.Request{Kind: k, FD: file}, 0)
	f.fails(&driver.Request{Kind: k, FD: badHandle}, windows.ERROR_INVALID_HANDLE)
}

// cancelFlush: the flush waits for a reader. Whether it can be seen to, it must end.
func cancelFlush(f *fixture) {
	_, w := f.pipe()
	f.put(w, "nobody reads it")
	q := &driver.Request{Kind: driver.Fsync, FD: w}
	f.start(q)
	f.flush()
	f.cancel(q)
	if f.await(q); q.Err != nil && q.Err != driver.ErrCanceled {
		f.Errorf("%v", q.Err)
	}
}

func truncate(f *fixture) {
	path := f.tempFile("content")
	file := f.openFile(path, os.O_RDWR)
	f.must(&driver.Request{Kind: driver.Truncate, FD: file, Len: 3}, 0)
	f.must(&driver.Request{Kind: driver.Truncate, FD: file, Len: 5}, 0)
	if s := f.content(path); s != "con\x00\x00" {
		f.Errorf("%q", s)
	}
	f.fails(&driver.Request{Kind: driver.Truncate, FD: file, Len: -1}, windows.ERROR_INVALID_PARAMETER)
}

func fallocate(f *fixture) {
	path := f.tempFile("content")
	file := f.openFile(path, os.O_RDWR)
	f.must(&driver.Request{Kind: driver.Fallocate, FD: file, Off: 2, Len: 3}, 0)
	f.must(&driver.Request{Kind: driver.Fallocate, FD: file, Off: 4, Len: 5}, 0)
	if s := f.content(path); s != "content\x00\x00" {
		f.Errorf("%q", s)
	}
	f.fails(&driver.Request{Kind: driver.Fallocate, FD: file, Len: 5, Arg: 3}, driver.ErrUnsupported)
	f.fails(&driver.Request{Kind: driver.Fallocate, FD: file, Off: 1<<63 - 1, Len: 5}, windows.ERROR_INVALID_PARAMETER)
}

func openRequest(path string, flags int) *driver.Request {
	return &driver.Request{Kind: driver.Open, FD: driver.CurrentDir, Arg: uint32(flags), Arg2: 0o666, Ext: &driver.Ext{Path: path}}
}

// opened opens a file through the driver. It is closed before the test's folder is removed, which it would be in the way of: it is opened
// as package os opens files, without FILE_SHARE_DELETE.
func (f *fixture) opened(r *driver.Request) driver.Handle {
	f.Helper()
	n, err := f.do(r)
	if err != nil {
		f.Fatalf("open %s: %v", r.Ext.Path, err)
	}
	h := driver.Handle(n)
	f.handles[h] = true
	f.Cleanup(func() {
		if f.handles[h] {
			f.closeHandle(h)
		}
	})
	return h
}

func open(f *fixture) {
	path := filepath.Join(f.TempDir(), "new")
	f.fails(openRequest(path, os.O_RDONLY), fs.ErrNotExist)
	h := f.opened(openRequest(path, os.O_RDWR|os.O_CREATE|os.O_EXCL))
	f.must(write(h, "content", 0), 7)
	f.must(read(h, 16, 0), 7)
	f.fails(openRequest(path, os.O_RDWR|os.O_CREATE|os.O_EXCL), fs.ErrExist)
	f.closeHandle(h)
	h = f.opened(openRequest(path, os.O_WRONLY|os.O_APPEND))
	f.must(write(h, " and more", 0), 9)
	f.closeHandle(h)
	if s := f.content(path); s != "content and more" {
		f.Errorf("%q", s)
	}
	h = f.opened(openRequest(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC))
	f.must(write(h, "x", driver.CurrentOffset), 1)
	f.must(read(h, 4, driver.CurrentOffset), 0)
	f.closeHandle(h)
	if s := f.content(path); s != "x" {
		f.Errorf("%q", s)
	}
	f.fails(openRequest(filepath.Dir(path), os.O_RDWR), syscall.EISDIR)
	f.fails(openRequest(path, 1<<22), windows.ERROR_INVALID_PARAMETER) // a bit that stands for nothing
}

// openEmptied: what is emptied may be written to no more than it would be otherwise.
func openEmptied(f *fixture) {
	path := f.tempFile("content")
	f.fails(write(f.opened(openRequest(path, os.O_RDONLY|os.O_TRUNC)), "x", 0), windows.ERROR_ACCESS_DENIED)
	if s := f.content(path); s != "" {
		f.Errorf("%q", s)
	}
	h := f.opened(openRequest(path, os.O_RDWR|os.O_APPEND|os.O_TRUNC))
	f.must(write(h, "one", 0), 3)
	f.must(write(h, "two", 0), 3)
	if s := f.content(path); s != "onetwo" {
		f.Errorf("%q", s)
	}
	f.must(write(f.opened(openRequest("NUL", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)), "x", 0), 1)
}

func openRelative(f *fixture) {
	path := f.tempFile("content")
	dir := f.opened(openRequest(filepath.Dir(path), os.O_RDONLY))
	r := openRequest(filepath.Base(path), os.O_RDONLY)
	r.FD = dir
	f.must(read(f.opened(r), 16, 0), 7)
	f.fails(&driver.Request{Kind: driver.Mkdir, FD: badHandle, Ext: &driver.Ext{Path: "a"}}, windows.ERROR_INVALID_HANDLE)
}

// directory opens path as a directory that may be renamed meanwhile.
func (f *fixture) directory(path string) driver.Handle {
	f.Helper()
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		f.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.GENERIC_READ, share, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.handles[driver.Handle(h)] = true
	f.Cleanup(func() { // before the folder is removed
		if f.handles[driver.Handle(h)] {
			f.closeHandle(driver.Handle(h))
		}
	})
	return driver.Handle(h)
}

func pathOf(k driver.Kind, dir driver.Handle, path string, arg uint32) *driver.Request {
	return &driver.Request{Kind: k, FD: dir, Arg: arg, Arg2: 0o666, Ext: &driver.Ext{Path: path, Stat: new(driver.FileStat)}}
}

func pathsOf(k driver.Kind, dir driver.Handle, path string, dir2 driver.Handle, path2 string) *driver.Request {
	return &driver.Request{Kind: k, FD: dir, Ext: &driver.Ext{Path: path, FD2: dir2, Path2: path2}}
}

// relativePaths: every kind of path, in two open directories and outside of them.
func relativePaths(f *fixture) {
	one, two := f.TempDir(), f.TempDir()
	a, b := f.directory(one), f.directory(two)
	const removeDir = 0x200
	f.must(pathOf(driver.Mkdir, a, "sub", 0), 0)
	f.fails(pathOf(driver.Mkdir, a, "sub", 0), fs.ErrExist)
	f.must(pathOf(driver.Mkdir, a, "sub/sub2/", 0), 0)
	h := f.opened(pathOf(driver.Open, a, "sub/../sub/file", uint32(os.O_RDWR|os.O_CREATE|os.O_EXCL)))
	f.must(write(h, "content", 0), 7)
	f.closeHandle(h)
	f.fails(pathOf(driver.Open, a, "sub/file", uint32(os.O_RDWR|os.O_CREATE|os.O_EXCL)), windows.ERROR_FILE_EXISTS)
	f.fails(pathOf(driver.Open, a, "sub/none", 0), fs.ErrNotExist)
	f.fails(pathOf(driver.Open, a, "none/file", 0), fs.ErrNotExist)
	f.fails(pathOf(driver.Open, a, "sub", uint32(os.O_RDWR)), syscall.EISDIR)
	f.fails(pathOf(driver.Open, a, "../sub", 0), windows.ERROR_INVALID_NAME)
	h = f.opened(pathOf(driver.Open, a, "SUB/file", uint32(os.O_RDWR|os.O_TRUNC|os.O_APPEND)))
	f.must(write(h, "new", 0), 3)
	f.closeHandle(h)
	f.closeHandle(f.opened(pathOf(driver.Open, a, ".", 0)))

	for path, size := range map[string]int64{"sub/file": 3, one + "/sub/file": 3} {
		q := pathOf(driver.Stat, a, path, 0)
		if f.must(q, 0); q.Ext.Stat.SizeBytes != size || !q.Ext.Stat.Mode.IsRegular() {
			f.Errorf("%s: %+v", path, *q.Ext.Stat)
		}
	}
	q := pathOf(driver.Stat, a, ".", 0)
	if f.must(q, 0); !q.Ext.Stat.Mode.IsDir() {
		f.Errorf("%+v", *q.Ext.Stat)
	}

	f.must(pathsOf(driver.Link, a, "sub/file", b, "linked"), 0)
	f.fails(pathsOf(driver.Link, a, "sub/file", b, "linked"), fs.ErrExist)
	f.must(pathsOf(driver.Link, a, "sub/file", driver.CurrentDir, two+"/linked2"), 0)
	f.must(pathsOf(driver.Link, driver.CurrentDir, one+"/sub/file", b, "linked3"), 0)
	for _, name := range []string{"linked", "linked2", "linked3"} {
		if s := f.content(filepath.Join(two, name)); s != "new" {
			f.Errorf("%s: %q", name, s)
		}
	}
	f.must(pathsOf(driver.Rename, a, "sub/file", b, "renamed"), 0)
	f.must(pathsOf(driver.Rename, b, "renamed", driver.CurrentDir, one+"/sub/file"), 0)
	f.must(pathsOf(driver.Rename, driver.CurrentDir, one+"/sub/file", b, "renamed"), 0)
	f.fails(pathsOf(driver.Rename, a, "sub/file", b, "renamed"), fs.ErrNotExist)
	f.closeHandle(f.opened(pathOf(driver.Open, b, "another", uint32(os.O_RDWR|os.O_CREATE))))
	keep := pathsOf(driver.Rename, b, "another", b, "renamed")
	keep.Arg = 1
	f.fails(keep, fs.ErrExist)
	f.must(pathsOf(driver.Rename, b, "linked2", b, "linked3"), 0)
	f.must(pathsOf(driver.Rename, a, "sub/sub2", a, "other"), 0)

	f.fails(pathOf(driver.Unlink, a, "other", 0), windows.ERROR_ACCESS_DENIED)
	f.fails(pathOf(driver.Unlink, b, "renamed", removeDir), windows.ERROR_DIRECTORY)
	f.must(pathOf(driver.Mkdir, a, "other/full", 0), 0)
	f.fails(pathOf(driver.Unlink, a, "other", removeDir), windows.ERROR_DIR_NOT_EMPTY)
	f.must(pathOf(driver.Unlink, a, "other/full", removeDir), 0)
	f.must(pathOf(driver.Unlink, a, "other", removeDir), 0)
	if err := os.Chmod(filepath.Join(two, "renamed"), 0o444); err != nil {
		f.Fatal(err)
	}
	f.must(pathOf(driver.Unlink, b, "renamed", 0), 0)
	f.fails(pathOf(driver.Unlink, b, "renamed", 0), fs.ErrNotExist)

	file := f.openFile(f.tempFile(""), os.O_RDONLY)
	for _, k := range []driver.Kind{driver.Open, driver.Stat, driver.Mkdir, driver.Unlink} {
		for _, bad := range []driver.Handle{badHandle, 0, ^driver.Handle(0), ^driver.Handle(1), driver.RegisteredHandle(0)} {
			f.fails(pathOf(k, bad, "a", 0), windows.ERROR_INVALID_HANDLE)
		}
		if n, err := f.do(pathOf(k, file, "a", 0)); n != 0 || err == nil {
			f.Errorf("%v in a file: %d, %v", k, n, err)
		}
		if n, err := f.do(pathOf(k, a, "with\x00zero", 0)); n != 0 || err == nil {
			f.Errorf("%v of a name with a zero: %d, %v", k, n, err)
		}
	}
}

// movingDirectory: somebody renames the directory all the time. Who has it open doesn't see that. Wine deletes and renames by paths that it has
// noted, so that only what it opens is tried here.
func movingDirectory(f *fixture) {
	parent := f.TempDir()
	here, there := filepath.Join(parent, "here"), filepath.Join(parent, "there")
	if err := os.Mkdir(here, 0o755); err != nil {
		f.Fatal(err)
	}
	dir := f.directory(here)
	var end atomic.Bool
	var wg sync.WaitGroup
	moves := 0
	wg.Go(func() {
		for !end.Load() {
			if os.Rename(here, there) == nil { // it fails while something in it is open
				moves++
			}
			os.Rename(there, here)
		}
	})
	defer wg.Wait()
	defer end.Store(true)
	for i := range 40 {
		name := fmt.Sprint("sub", i)
		f.must(pathOf(driver.Mkdir, dir, name, 0), 0)
		f.must(pathOf(driver.Stat, dir, name, 0), 0)
		f.closeHandle(f.opened(pathOf(driver.Open, dir, name, 0)))
	}
	end.Store(true)
	wg.Wait()
	f.Logf("moved %d times", moves)
}

func openLong(f *fixture) {
	dir := f.TempDir()
	for range 4 {
		dir += `\` + strings.Repeat("long", 20)
		f.must(&driver.Request{Kind: driver.Mkdir, FD: driver.CurrentDir, Ext: &driver.Ext{Path: dir}}, 0)
	}
	path := dir + "/file"
	h := f.opened(openRequest(path, os.O_RDWR|os.O_CREATE))
	f.must(write(h, "content", 0), 7)
	f.closeHandle(h)
	if s := f.content(path); s != "content" {
		f.Errorf("%q", s)
	}
}

func closeKind(f *fixture) {
	h := f.opened(openRequest(f.tempFile(""), os.O_RDONLY))
	delete(f.handles, h)
	f.must(&driver.Request{Kind: driver.Close, FD: h}, 0)
	f.fails(read(h, 4, 0), windows.ERROR_INVALID_HANDLE)
	f.fails(&driver.Request{Kind: driver.Close, FD: badHandle}, windows.ERROR_INVALID_HANDLE)
}

func statAll(f *fixture) {
	path := f.tempFile("content")
	for _, name := range []string{path, filepath.Dir(path)} {
		var s driver.FileStat
		f.must(&driver.Request{Kind: driver.Stat, FD: driver.CurrentDir, Ext: &driver.Ext{Path: name, Stat: &s}}, 0)
		want, err := os.Stat(name)
		if err != nil {
			f.Fatal(err)
		}
		if s.Mode != want.Mode() || !s.ModTime.Equal(want.ModTime()) || s.Inode == 0 || s.LinkCount == 0 || s.ChangeTime.IsZero() {
			f.Errorf("%s: %+v; os says %v, %v", name, s, want.Mode(), want.ModTime())
		}
		if want.Mode().IsRegular() && s.SizeBytes != want.Size() {
			f.Errorf("%d bytes, want %d", s.SizeBytes, want.Size())
		}
	}
	var itself, pipe driver.FileStat
	file := f.openFile(path, os.O_RDONLY)
	f.must(&driver.Request{Kind: driver.Stat, FD: file, Ext: &driver.Ext{Stat: &itself}}, 0)
	if itself.SizeBytes != 7 || !itself.Mode.IsRegular() {
		f.Errorf("%+v", itself)
	}
	r, _ := f.pipe()
	f.must(&driver.Request{Kind: driver.Stat, FD: r, Ext: &driver.Ext{Stat: &pipe}}, 0)
	if pipe.Mode.Type() != fs.ModeNamedPipe {
		f.Errorf("%v", pipe.Mode)
	}
}

func unlink(f *fixture) {
	path := f.tempFile("")
	remove := func(path string, flags uint32) *driver.Request {
		return &driver.Request{Kind: driver.Unlink, FD: driver.CurrentDir, Arg: flags, Ext: &driver.Ext{Path: path}}
	}
	if err := os.Chmod(path, 0o444); err != nil {
		f.Fatal(err)
	}
	f.must(remove(path, 0), 0)
	f.fails(remove(path, 0), fs.ErrNotExist)
	dir := filepath.Join(f.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		f.Fatal(err)
	}
	f.fails(remove(dir, 0), windows.ERROR_ACCESS_DENIED)
	f.must(remove(dir, 0x200), 0)
}

func rename(f *fixture) {
	from, to := f.tempFile("from"), f.tempFile("to")
	r := &driver.Request{Kind: driver.Rename, FD: driver.CurrentDir, Arg: 1,
		Ext: &driver.Ext{Path: from, FD2: driver.CurrentDir, Path2: to}}
	f.fails(r, fs.ErrExist)
	r.Arg = 2
	f.fails(r, driver.ErrUnsupported)
	r.Arg = 0
	f.must(r, 0)
	if s := f.content(to); s != "from" {
		f.Errorf("%q", s)
	}
	f.fails(r, fs.ErrNotExist)
}

func mkdirLink(f *fixture) {
	path := f.tempFile("content")
	dir := filepath.Join(filepath.Dir(path), "dir")
	mkdir := &driver.Request{Kind: driver.Mkdir, FD: driver.CurrentDir, Ext: &driver.Ext{Path: dir}}
	f.must(mkdir, 0)
	f.fails(mkdir, fs.ErrExist)
	second := filepath.Join(dir, "second")
	f.must(&driver.Request{Kind: driver.Link, FD: driver.CurrentDir,
		Ext: &driver.Ext{Path: path, FD2: driver.CurrentDir, Path2: second}}, 0)
	if s := f.content(second); s != "content" {
		f.Errorf("%q", s)
	}
}

func badPaths(f *fixture) {
	for _, k := range []driver.Kind{driver.Open, driver.Stat, driver.Unlink, driver.Rename, driver.Mkdir, driver.Link} {
		for _, path := range []string{"", "with\x00zero", filepath.Join(f.TempDir(), "no", "such")} {
			r := &driver.Request{Kind: k, FD: driver.CurrentDir,
				Ext: &driver.Ext{Path: path, FD2: driver.CurrentDir, Path2: path, Stat: new(driver.FileStat)}}
			if path == "" && k == driver.Stat {
				continue // FD itself
			}
			if n, err := f.do(r); n != 0 || err == nil || errors.Is(err, driver.ErrUnsupported) {
				f.Errorf("%v of %q: %d, %v", k, path, n, err)
			}
		}
	}
}
