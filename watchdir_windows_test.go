package ringport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// watchedFiles is few under Wine, where each takes milliseconds.
var watchedFiles = map[bool]int{true: 2000, false: 100_000}[wine]

func quickDir(t testing.TB) string { return t.TempDir() }

// movesWatched: directories can be moved and removed while they are watched. The watch lists what is new in them, and what is open can't be moved.
const movesWatched = false

// lagLoses: Wine leaves out, without a word, what does not fit into the caller's buffer though it fits into its own, where names are shorter; and what
// happens in a new directory before it has come to watch that.
var lagLoses = wine

// isBusy reports whether err says that a file is being removed, or open elsewhere.
func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
}

// createdOnce: what a listing has found is not reported again. Here it is.
const createdOnce = false

// changedAttribute is what a change of attributes is reported as: the system does not tell it from others.
const changedAttribute = DirWrite

// overflow makes more changes to dir than the system keeps.
func overflow(t testing.TB, dir string) {
	name := filepath.Join(dir, strings.Repeat("n", 100)) // 200 bytes of 64 KiB each
	for i := range 500 {
		must(t, os.WriteFile(name+fmt.Sprint(i), nil, 0o666))
	}
}

// TestWatchDir_RemovedOnlyOnWindows: the removal of the watched directory ends the watch.
func TestWatchDir_RemovedOnlyOnWindows(t *testing.T) {
	onlyOnWindows(t, "the call goes on")
	bothWays(t, func(t *testing.T, m *Manager) {
		dir := filepath.Join(t.TempDir(), "watched")
		must(t, os.Mkdir(dir, 0o777))
		var last error
		for _, err := range m.WatchDir(t.Context(), dir, DirOptions{}) {
			if last = err; err == nil {
				must(t, os.Remove(dir))
			}
		}
		if !errors.Is(last, ErrDirGone) {
			t.Error(last)
		}
	})
}

// TestWatchDir_SurrogateOnlyOnWindows: a name that is no valid UTF-16 is as package os has it.
func TestWatchDir_SurrogateOnlyOnWindows(t *testing.T) {
	onlyOnWindows(t, "such a name can't be made")
	bothWays(t, func(t *testing.T, m *Manager) {
		dir, name := t.TempDir(), "half-\xed\xa0\xbd"
		got := stories(t, m, dir, DirOptions{}, noWrites, func() { must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o666)) })
		if len(got[0]) != 1 || got[0][0] != (DirEvent{DirCreate, name, ""}) {
			t.Errorf("%q", got)
		}
	})
}
