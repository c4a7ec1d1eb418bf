// Package lint holds the tree to rules of this project that no general tool checks. Its test walks the tree.
package lint

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// file is one text file of the tree.
type file struct {
	path string // from the root of the tree, with slashes
	text []byte

	// For Go files only.
	syntax    *ast.File
	positions *token.FileSet
	test      bool // its name ends in _test.go
	generated bool // it says "Code generated … DO NOT EDIT."
	library   bool // it belongs to the module at the root, which users import
}

// finding is a place where a file breaks a rule.
type finding struct {
	line int
	what string
}

// at makes a finding of a place in the syntax tree.
func (f *file) at(pos token.Pos, what string) finding {
	return finding{f.positions.Position(pos).Line, what}
}

// parse makes a file of a path and its text. Files that are not Go have no syntax, and neither have Go files that don't parse: the
// compiler has more to say about those.
func parse(name string, text []byte, library bool) *file {
	f := &file{path: name, text: text, library: library}
	if path.Ext(name) != ".go" {
		return f
	}
	f.positions = token.NewFileSet()
	f.test = strings.HasSuffix(name, "_test.go")
	syntax, err := parser.ParseFile(f.positions, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err == nil {
		f.syntax = syntax
		f.generated = ast.IsGenerated(syntax)
	}
	return f
}

// maxTextBytes is more than any text of ours has: beyond, there is data.
const maxTextBytes = 1 << 20

// readTree returns the text files under root: none of git's own, and none that a build left there in binary.
func readTree(root string) ([]*file, error) {
	var files []*file
	var modules []string // the folders of modules other than root's
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return unlessGone(err)
		}
		if entry.Name() == ".git" { // in a worktree it is a file, with a path of this machine
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		text, err := readText(name, entry)
		if text == nil || err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if dir, base := path.Split(relative); base == "go.mod" && dir != "" {
			modules = append(modules, dir)
		}
		files = append(files, parse(relative, text, true))
		return nil
	})
	for _, f := range files {
		for _, dir := range modules {
			f.library = f.library && !strings.HasPrefix(f.path, dir)
		}
	}
	return files, err
}

// readText returns nil for what is no text file, or none any more.
func readText(name string, entry fs.DirEntry) ([]byte, error) {
	if !entry.Type().IsRegular() {
		return nil, nil
	}
	info, err := entry.Info()
	if err != nil || info.Size() > maxTextBytes {
		return nil, unlessGone(err)
	}
	text, err := os.ReadFile(name)
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		return nil, unlessGone(err)
	}
	return text, nil
}

// unlessGone forgives that a file of somebody else's vanished during the walk.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
