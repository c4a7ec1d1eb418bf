// Command mirror makes one directory equal to another, and keeps it so until it is interrupted:
//
//	mirror FROM TO
//
// What is in TO and not in FROM is removed. Files, directories and symbolic links are mirrored, with permissions and the files' times; FROM and TO
// must not contain each other.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: mirror FROM TO")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "mirror:", err)
		os.Exit(1)
	}
}

// run mirrors from to to until ctx ends.
func run(ctx context.Context, from, to string) error {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	x := &mirror{m, ctx, from, to}
	for e, err := range m.WatchDir(ctx, from, ringport.DirOptions{Recursive: true}) {
		if err == nil {
			err = x.follow(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type mirror struct {
	m        *ringport.Manager
	ctx      context.Context
	from, to string
}

// follow does to the copy what happened to the original. An event says where to look: what is there may have changed again since, so that
// everything is done by looking, and a rename is only a way to copy less.
func (x *mirror) follow(e ringport.DirEvent) error {
	switch e.Op {
	case ringport.DirRescan:
		return x.equal(".", false)
	case ringport.DirRename:
		to := filepath.Join(x.to, e.Name)
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		os.Rename(filepath.Join(x.to, e.OldName), to) // it may not have been copied yet
		if err := x.equal(e.OldName, false); err != nil {
			return err
		}
		return x.equal(e.Name, false)
	default:
		return x.equal(e.Name, e.Op == ringport.DirCreate || e.Op == ringport.DirWrite)
	}
}

// equal makes what is under name in the copy equal to what is under it in the original, and all that is below. A file is copied if it looks
// different, or in any case.
func (x *mirror) equal(name string, inAnyCase bool) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	from, to := filepath.Join(x.from, name), filepath.Join(x.to, name)
	info, err := os.Lstat(from)
	if isGone(err) {
		return os.RemoveAll(to)
	}
	if err != nil {
		return err
	}
	old, err := os.Lstat(to)
	if err == nil && old.Mode().Type() != info.Mode().Type() {
		old, err = nil, os.RemoveAll(to)
	}
	if err != nil && !isGone(err) {
		return err
	}
	switch {
	case info.IsDir():
		err = x.directory(name, info)
	case info.Mode().Type() == fs.ModeSymlink:
		err = link(from, to)
	case !info.Mode().IsRegular(): // a pipe, a socket, a device
	case inAnyCase || old == nil || !looksEqual(info, old):
		err = x.file(from, to, info)
	case old.Mode() != info.Mode():
		err = os.Chmod(to, info.Mode())
	}
	if isGone(err) { // while it was copied: there is an event to come
		return nil
	}
	return err
}

// directory makes a directory of the copy equal to the original one.
func (x *mirror) directory(name string, info fs.FileInfo) error {
	to := filepath.Join(x.to, name)
	if err := os.MkdirAll(to, info.Mode().Perm()|0o700); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, dir := range []string{filepath.Join(x.from, name), to} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			names[e.Name()] = true
		}
	}
	for entry := range names {
		if err := x.equal(filepath.Join(name, entry), false); err != nil {
			return err
		}
	}
	return os.Chmod(to, info.Mode().Perm()|0o700)
}

// file copies a file. The copy has the original's time, so that the next look finds them equal; it is that of the beginning, so that what is written
// to the original meanwhile makes it look different.
func (x *mirror) file(from, to string, info fs.FileInfo) error {
	source, err := x.m.Open(x.ctx, from)
	if err != nil {
		return err
	}
	defer source.Close()
	os.Remove(to) // it may not be writable, or be linked to elsewhere
	target, err := x.m.OpenFile(x.ctx, to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(target.WithContext(x.ctx), source.WithContext(x.ctx))
	if err := errors.Join(err, target.Close()); err != nil {
		return err
	}
	return errors.Join(os.Chtimes(to, time.Time{}, info.ModTime()), os.Chmod(to, info.Mode().Perm()))
}

func link(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	if old, err := os.Readlink(to); err == nil && old == target {
		return nil
	}
	if err := os.Remove(to); err != nil && !isGone(err) {
		return err
	}
	return os.Symlink(target, to)
}

// looksEqual goes by size and time. A file that was written to in the last second may be written to once more without either showing it.
func looksEqual(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && time.Since(a.ModTime()) > time.Second
}

// isGone reports whether err says that there is nothing under a name, or under one above it.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }
