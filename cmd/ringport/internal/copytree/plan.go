package copytree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// task is one source, and where it goes; err is why it cannot.
type task struct {
	from, to string
	err      error
}

// plan says where each source goes, by cp's rules: into target if that is a folder, else it is the new name of the only one.
// Its error is what makes the whole request impossible.
func plan(sources []string, target string) ([]task, error) {
	if len(sources) == 0 {
		return nil, errors.New("nothing to copy")
	}
	if target == "" {
		return nil, errors.New("the target has no name")
	}
	if isDevice(target) {
		return nil, &fs.PathError{Op: "copy", Path: target, Err: errIsSpecial}
	}
	info, err := os.Stat(target)
	isFolder := err == nil && info.IsDir()
	if link, linkErr := os.Lstat(target); linkErr == nil && link.Mode()&fs.ModeSymlink != 0 {
		// The user means what is behind a link.
		if target, err = filepath.EvalSymlinks(target); err != nil {
			return nil, err
		}
	}
	if len(sources) > 1 && !isFolder {
		return nil, fmt.Errorf("%s is not a folder, and there are several sources", target)
	}
	tasks := make([]task, len(sources))
	origin := map[string]string{}
	for i, source := range sources {
		t := task{from: source, to: target}
		// "cp . folder" copies what is in ".".
		if name := filepath.Base(source); isFolder && name != "." && name != ".." && name != string(filepath.Separator) {
			t.to = filepath.Join(target, name)
		}
		if first, ok := origin[t.to]; ok {
			t.err = fmt.Errorf("%s would replace the copy of %s at %s", source, first, t.to)
		} else {
			origin[t.to] = source
			t.err = t.check()
		}
		tasks[i] = t
	}
	return tasks, nil
}

// check refuses to copy a thing onto itself, and a folder into itself, which would not end.
func (t *task) check() error {
	if isDevice(t.from) {
		return &fs.PathError{Op: "copy", Path: t.from, Err: errSpecial}
	}
	from, err := os.Lstat(t.from)
	if err != nil {
		return &fs.PathError{Op: "lstat", Path: t.from, Err: causeOf(err)}
	}
	// Links count as what they are, and as what they lead to: one that replaced that would lead to itself.
	if to := views(t.to); slices.ContainsFunc(views(t.from), func(a fs.FileInfo) bool {
		return slices.ContainsFunc(to, func(b fs.FileInfo) bool { return os.SameFile(a, b) })
	}) {
		return fmt.Errorf("%s and %s are the same", t.from, t.to)
	}
	if !from.IsDir() && t.to != "" && os.IsPathSeparator(t.to[len(t.to)-1]) {
		return fmt.Errorf("there is no folder %s", t.to)
	}
	if !from.IsDir() {
		return nil
	}
	path, err := filepath.Abs(filepath.Dir(filepath.Clean(t.to)))
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return err
	}
	for {
		if to, err := os.Stat(path); err == nil && os.SameFile(from, to) {
			return fmt.Errorf("%s lies in %s: a folder cannot be copied into itself", t.to, t.from)
		}
		up := filepath.Dir(path)
		if up == path {
			return nil
		}
		path = up
	}
}

// views is what has a name: itself, and what it leads to.
func views(path string) (infos []fs.FileInfo) {
	for _, stat := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		if info, err := stat(path); err == nil {
			infos = append(infos, info)
		}
	}
	return infos
}
