package copytree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/win32"
)

const (
	oddName = " %!;'é^&"
	levels  = 40 // of folders in a tree: a path longer than MAX_PATH, but not so long that Wine takes minutes
)

// tooLong is in the error for a name that is too long: the name, since Windows and Wine have different words.
var tooLong = strings.Repeat("n", 300)

// decorate gives a tree what only this system has.
func decorate(root string) error {
	return setAttributes(filepath.Join(root, "mode"), windows.FILE_ATTRIBUTE_HIDDEN|windows.FILE_ATTRIBUTE_SYSTEM)
}

func setAttributes(path string, attributes uint32) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	return windows.SetFileAttributes(name, attributes)
}

// protect marks a folder. It can be written to all the same.
func protect(folder string) error { return setAttributes(folder, windows.FILE_ATTRIBUTE_READONLY) }

// special is what this system says of a file and others don't.
func special(st status) string { return fmt.Sprintf("%#x", st.attributes&keptAttributes) }

// A name that stands for a device is neither a source nor a target, and is not even looked at.
func TestDevices(t *testing.T) {
	for path, want := range map[string]bool{
		"NUL": true, "nul": true, "COM1": true, `c:\x\CON`: true, "x/aux": true, `\\.\PhysicalDrive0`: true, `\\.\C:`: true, `//./pipe/x`: true,
		`\\server\pipe\x`: true, `\\?\pipe\x`: true, `\\?\GLOBALROOT\Device\x`: true, "CONIN$": true,
		"a": false, `c:\`: false, `c:`: false, ".": false, "..": false, `x\..`: false, "null": false, `\\server\share\x`: false, `\\?\C:\x`: false,
		`\\?\UNC\server\share\x`: false, `\\?\Volume{12}\x`: false, "pipe": false, `x\pipe\y`: false,
	} {
		if got := isDevice(path); got != want {
			t.Errorf("isDevice(%q) is %v", path, got)
		}
	}
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		source := write(t, filepath.Join(dir, "a"), []byte("a"), 0o600)
		for _, device := range []string{"NUL", "COM1", filepath.Join(dir, "CON"), `\\.\pipe\ringport-nobody`} {
			run(t.Context(), m, Options{}, filepath.Join(dir, "b"), device).onlyFailure(t, errSpecial, device)
			if c := run(t.Context(), m, Options{}, device, source); c.err == nil || !strings.Contains(c.err.Error(), errIsSpecial.Error()) {
				t.Errorf("to %s: %v, %v", device, c.err, c.failures)
			}
			if _, st, err := openOriginal(t.Context(), m, device); err == nil {
				t.Errorf("%s was opened: %v", device, st)
			}
		}
		wantNothing(t, filepath.Join(dir, "b"))
	})
}

// A file that is read-only is replaced, as elsewhere, and one that cannot be stays so.
func TestReadOnlyTargets(t *testing.T) {
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		source := write(t, filepath.Join(dir, "a"), []byte("new"), 0o600)
		old := write(t, filepath.Join(dir, "b"), []byte("old"), 0o400)
		name, err := windows.UTF16PtrFromString(old)
		if err != nil {
			t.Fatal(err)
		}
		// Somebody reads it, and does not share its name.
		h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		run(t.Context(), m, Options{}, old, source).onlyFailure(t, nil, old)
		if err := windows.CloseHandle(h); err != nil {
			t.Fatal(err)
		}
		wantContent(t, old, []byte("old"))
		if info, err := os.Stat(old); err != nil || info.Mode()&0o200 != 0 {
			t.Errorf("it is not read-only any more: %v, %v", info.Mode(), err)
		}
		mustCopy(t, m, Options{}, old, source)
		wantContent(t, old, []byte("new"))
		nothingUnfinished(t, dir)
	})
}

// The time of creation is kept too. Wine cannot show it: the file systems below it do not have one that can be set.
func TestCreationTime(t *testing.T) {
	if version, _ := win32.Wine(); version != "" {
		t.Skip("Wine ignores it: only Windows can show this")
	}
	forBackends(t, func(t *testing.T, m *ringport.Manager) {
		dir := t.TempDir()
		source := write(t, filepath.Join(dir, "a"), []byte("a"), 0o600)
		st, err := statusOf(source)
		if err != nil {
			t.Fatal(err)
		}
		st.created = time.Date(1999, 1, 2, 3, 4, 5, 600, time.UTC)
		if err := st.give(source); err != nil {
			t.Fatal(err)
		}
		mustCopy(t, m, Options{}, filepath.Join(dir, "b"), source)
		if got, err := statusOf(filepath.Join(dir, "b")); err != nil || !got.created.Equal(st.created) {
			t.Errorf("%v, %v", got.created, err)
		}
	})
}

// What users meet most is said in plain words.
func TestReasons(t *testing.T) {
	for err, want := range map[error]string{windows.ERROR_DISK_FULL: "the disk is full: ", windows.ERROR_HANDLE_DISK_FULL: "the disk is full: ",
		windows.ERROR_DISK_QUOTA_EXCEEDED: "the quota on this disk", windows.ERROR_PRIVILEGE_NOT_HELD: "symbolic links are made by"} {
		if got := explain(&os.PathError{Op: "x", Path: "y", Err: err}); !strings.HasPrefix(got.Error(), want) || !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
		if full := isFull(err); full != (err != windows.ERROR_PRIVILEGE_NOT_HELD) {
			t.Errorf("isFull(%v) is %v", err, full)
		}
	}
}

// A time that there is not is not made up, and not set.
func TestNoTime(t *testing.T) {
	if got := timeOf(windows.Filetime{}); !got.IsZero() || filetime(got) != (windows.Filetime{}) {
		t.Errorf("%v, %v", got, filetime(got))
	}
	now := time.Now().Truncate(100)
	if got := timeOf(filetime(now)); !got.Equal(now) {
		t.Errorf("%v became %v", now, got)
	}
}
