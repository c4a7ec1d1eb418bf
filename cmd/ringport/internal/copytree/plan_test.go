package copytree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringport/ringport"
)

// notThere stands for what the system says of a name that is not there.
const notThere = "not there"

func TestWhereThingsGo(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		for _, c := range []struct {
			name    string
			sources string // separated by blanks
			target  string
			result  string // the file that is there then…
			content string // …and what is in it
			problem string // in the error, or in that of the source that fails; empty: none
		}{
			{"file to a new name", "a", "new", "new", "a", ""},
			{"file over a file", "b", "a", "a", "b", ""},
			{"file into a folder", "a", "folder", "folder/a", "a", ""},
			{"file into a folder, with a slash", "a", "folder/", "folder/a", "a", ""},
			{"file into a link to a folder", "a", "to-folder", "folder/a", "a", ""},
			{"file over a link to a file", "a", "to-b", "b", "a", ""},
			{"several into a folder", "a b", "folder", "folder/b", "b", ""},
			{"folder to a new name", "folder", "new", "new/in", "in", ""},
			{"folder to a new name, with a slash", "folder/", "new/", "new/in", "in", ""},
			{"folder into a folder", "folder", "other", "other/folder/in", "in", ""},
			{"folder into one where it is already", "folder", "with", "with/folder/in", "in", ""},
			{"what is in a folder", "folder/.", "other", "other/in", "in", ""},
			{"what is above a folder", "folder/sub/..", "other", "other/in", "in", ""},
			{"folder and file", "folder a", "other", "other/folder/in", "in", ""},
			{"link to a new name", "to-b", "new", "new", "b", ""},
			{"several to a file", "a b", "b", "b", "b", "b is not a folder"},
			{"several to nothing", "a b", "new", "a", "a", "new is not a folder"},
			{"folder over a file", "folder", "a", "a", "a", "no folder has this name"},
			{"file over a folder", "a", "full", "full/a/in", "in", "a folder has this name"},
			{"folder over a link to a folder", "other", "linked", "folder/in", "in", "no folder has this name"},
			{"folder over a link to itself", "folder", "linked", "folder/in", "in", "are the same"},
			{"link over a folder", "to-b", "full3", "full3/to-b/x", "x", "a folder has this name"},
			{"file to no folder", "a", "new/", "a", "a", "there is no folder"},
			{"through a link to nothing", "a", "dangling", "a", "a", notThere},
			{"onto itself", "a", "a", "a", "a", "are the same"},
			{"onto itself, as a link", "to-b", "to-b", "b", "b", "are the same"},
			{"onto itself, through a link", "b", "to-b", "b", "b", "are the same"},
			{"onto another name of itself", "a", "hard", "a", "a", "are the same"},
			{"into the folder where it is", "a", ".", "a", "a", "are the same"},
			{"folder onto itself", "folder", ".", "folder/in", "in", "are the same"},
			{"folder into itself", "folder", "folder", "folder/in", "in", "into itself"},
			{"folder into a folder in it", "folder", "folder/sub", "folder/in", "in", "into itself"},
			{"folder to a name in it", "folder", "folder/new", "folder/in", "in", "into itself"},
			{"folder into itself, through a link", "folder", "to-folder/sub/new", "folder/in", "in", "into itself"},
			{"two of one name", "a other/a", "full2", "full2/a", "a", "would replace the copy of"},
			{"nothing there, and something", "absent b", "folder", "folder/b", "b", notThere},
			{"no folder above", "a", "absent/x", "a", "a", notThere},
			{"name too long", "a", strings.Repeat("n", 300), "a", "a", tooLong},
			{"no source", "", "x", "a", "a", "nothing to copy"},
			{"no name", "a", "", "a", "a", "no name"},
		} {
			t.Run(c.name, func(t *testing.T) {
				links := haveLinks(t)
				if strings.Contains(c.name, "link") {
					needLinks(t)
				}
				dir := t.TempDir()
				t.Chdir(dir)
				for name, content := range map[string]string{"a": "a", "b": "b", "folder/in": "in", "folder/sub/x": "x", "other/a": "other a",
					"full/a/in": "in", "with/folder/old": "old", "full3/to-b/x": "x"} {
					write(t, name, []byte(content), 0o600)
				}
				err := errors.Join(os.Link("a", "hard"), os.Mkdir("full2", 0o700), os.Mkdir("linked", 0o700))
				if links {
					err = errors.Join(err, os.Symlink("folder", "to-folder"), os.Symlink("b", "to-b"), os.Symlink("nowhere", "dangling"),
						os.Symlink("../folder", "linked/folder"), os.Symlink("../folder", "linked/other"))
				}
				if err != nil {
					t.Fatal(err)
				}
				before := describe(t, dir)
				r := run(t.Context(), m, Options{}, c.target, strings.Fields(c.sources)...)
				switch {
				case c.problem == "":
					if r.err != nil || len(r.failures) != 0 {
						t.Errorf("%v, %v", r.err, r.failures)
					}
				case c.problem == notThere:
					if len(r.failures) != 1 && r.err == nil || !errors.Is(errors.Join(append(r.failures, r.err)...), fs.ErrNotExist) {
						t.Errorf("%v, %v; want one that says that something is not there", r.err, r.failures)
					}
				case r.err == nil || !strings.Contains(errors.Join(append(r.failures, r.err)...).Error(), c.problem):
					t.Errorf("%v, %v; want %q", r.err, r.failures, c.problem)
				}
				wantContent(t, c.result, []byte(c.content))
				nothingUnfinished(t, dir)
				if c.problem != "" && c.problem != tooLong && len(strings.Fields(c.sources)) < 2 { // refused, not only by the system
					if after := describe(t, dir); after != before {
						t.Error(difference(before, after))
					}
				}
			})
		}
	})
}

// Folders that are there are filled, but not where a link in the target leads.
func TestLinksInTheTargetAreReplaced(t *testing.T) {
	needLinks(t)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		source, target, outside := filepath.Join(dir, "source"), filepath.Join(dir, "target"), filepath.Join(dir, "outside")
		write(t, filepath.Join(source, "file"), []byte("new"), 0o600)
		write(t, filepath.Join(source, "folder", "file"), []byte("new"), 0o600)
		write(t, filepath.Join(outside, "file"), []byte("old"), 0o600)
		err := errors.Join(os.MkdirAll(filepath.Join(target, "source"), 0o700),
			os.Symlink(filepath.Join(outside, "file"), filepath.Join(target, "source", "file")),
			os.Symlink(outside, filepath.Join(target, "source", "folder")))
		if err != nil {
			t.Fatal(err)
		}
		run(t.Context(), m, Options{}, target, source).onlyFailure(t, errInTheWay, filepath.Join("source", "folder"))
		wantContent(t, filepath.Join(target, "source", "file"), []byte("new"))
		wantContent(t, filepath.Join(outside, "file"), []byte("old"))
	})
}

// Nor is a file replaced by a link to itself.
func TestALinkToItsOwnTarget(t *testing.T) {
	needLinks(t)
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
		there := write(t, filepath.Join(target, "source", "link"), []byte("there"), 0o600)
		if err := errors.Join(os.Mkdir(source, 0o700), os.Symlink(there, filepath.Join(source, "link"))); err != nil {
			t.Fatal(err)
		}
		run(t.Context(), m, Options{}, target, source).onlyFailure(t, errSameFile, there)
		wantContent(t, there, []byte("there"))
	})
}
