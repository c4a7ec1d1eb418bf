package iocp

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

func TestOpenMode(t *testing.T) {
	const generic = windows.GENERIC_READ | windows.GENERIC_WRITE
	for _, c := range []struct {
		flags               int
		access, disposition uint32
		attributes          uint32 // beside FILE_FLAG_OVERLAPPED and FILE_ATTRIBUTE_NORMAL
		empties             bool
	}{
		{syscall.O_RDONLY, windows.GENERIC_READ, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, false},
		{syscall.O_RDWR, generic, windows.OPEN_EXISTING, 0, false},
		{syscall.O_WRONLY | syscall.O_CREAT, windows.GENERIC_WRITE, windows.OPEN_ALWAYS, 0, false},
		{syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL, windows.GENERIC_WRITE, windows.CREATE_NEW, windows.FILE_FLAG_OPEN_REPARSE_POINT, false},
		{syscall.O_RDONLY | syscall.O_TRUNC, windows.GENERIC_READ, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, true},
		{syscall.O_RDWR | syscall.O_CREAT | syscall.O_TRUNC, generic, windows.OPEN_ALWAYS, 0, true},
		{syscall.O_RDWR | syscall.O_CREAT | syscall.O_EXCL | syscall.O_TRUNC, generic, windows.CREATE_NEW, windows.FILE_FLAG_OPEN_REPARSE_POINT, false},
		{syscall.O_RDONLY | syscall.O_APPEND, windows.GENERIC_READ, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, false},
		{syscall.O_RDWR | syscall.O_SYNC, generic, windows.OPEN_EXISTING, windows.FILE_FLAG_WRITE_THROUGH, false},
		{syscall.O_RDWR | windows.FILE_FLAG_NO_BUFFERING, generic, windows.OPEN_EXISTING, windows.FILE_FLAG_NO_BUFFERING, false},
	} {
		how, err := openMode(uint32(c.flags), 0o666)
		want := opening{c.access, c.disposition, c.attributes | windows.FILE_FLAG_OVERLAPPED | windows.FILE_ATTRIBUTE_NORMAL, c.empties}
		if how != want || err != nil {
			t.Errorf("%#x: %#v, %v; want %#v", c.flags, how, err, want)
		}
	}
	for _, flags := range []uint32{syscall.O_APPEND, syscall.O_APPEND | syscall.O_CREAT | syscall.O_TRUNC} {
		how, err := openMode(syscall.O_WRONLY|flags, 0o666)
		if how.access&windows.FILE_APPEND_DATA == 0 || how.access&(windows.FILE_WRITE_DATA|windows.GENERIC_WRITE) != 0 || err != nil {
			t.Errorf("append: %#x, %v", how.access, err)
		}
	}
	if how, err := openMode(syscall.O_CREAT, 0o444); how.attributes&windows.FILE_ATTRIBUTE_READONLY == 0 || err != nil {
		t.Errorf("read-only: %#x, %v", how.attributes, err)
	}
	if _, err := openMode(0x00400000, 0); err != windows.ERROR_INVALID_PARAMETER {
		t.Errorf("a bit without a meaning: %v", err)
	}
}

func TestExtended(t *testing.T) {
	long := strings.Repeat("long", 70)
	here, err := windows.FullPath(".")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		`short`:                           `short`,
		`C:/short`:                        `C:/short`,
		`\\server\share\short`:            `\\server\share\short`,
		`C:\` + long:                      `\\?\C:\` + long,
		`C:/a/../b/./` + long:             `\\?\C:\b\` + long,
		long:                              `\\?\` + here + `\` + long,
		`\\server\share\` + long:          `\\?\UNC\server\share\` + long,
		`//server/share/x/` + long:        `\\?\UNC\server\share\x\` + long,
		`\\?\C:\short`:                    `\\?\C:\short`,
		`\\?\C:/short/x`:                  `\\?\C:\short\x`,
		`\\?\UNC\server\share/` + long:    `\\?\UNC\server\share\` + long,
		`\\.\pipe\` + long:                `\\.\pipe\` + long,
		`\\.\pipe\short/with/its/slashes`: `\\.\pipe\short/with/its/slashes`,
	} {
		if got, err := extended(path); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", path, got, err, want)
		}
	}
}

func TestLocate(t *testing.T) {
	const dir = driver.Handle(64)
	long := strings.Repeat("long", 70)
	for _, c := range []struct {
		dir  driver.Handle
		path string
		want location
	}{
		{dir, `a/b`, location{64, `a\b`}},
		{dir, `a\.\b/../c/`, location{64, `a\c`}},
		{dir, `.`, location{64, ``}},
		{dir, long, location{64, long}},
		{dir, `C:\a`, location{0, `C:\a`}},
		{dir, `C:a`, location{0, `C:a`}},
		{dir, `\a`, location{0, `\a`}},
		{dir, `//server/share/a`, location{0, `//server/share/a`}},
		{driver.CurrentDir, `a/b`, location{0, `a/b`}},
		{driver.CurrentDir, `C:\` + long, location{0, `\\?\C:\` + long}},
	} {
		if got, err := locate(c.dir, c.path); got != c.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", c.path, got, err, c.want)
		}
	}
	if _, err := locate(driver.CurrentDir, ""); err != windows.ERROR_PATH_NOT_FOUND {
		t.Errorf("no path: %v", err)
	}
}

func TestNative(t *testing.T) {
	here, err := windows.FullPath(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    location
		root windows.Handle
		name string
	}{
		{location{64, `a\b`}, 64, `a\b`},
		{location{0, `a/b`}, 0, `\??\` + here + `\a\b`},
		{location{0, `C:/a/../b`}, 0, `\??\C:\b`},
		{location{0, `\\?\C:\a`}, 0, `\??\C:\a`},
		{location{0, `\\.\pipe\a`}, 0, `\??\pipe\a`},
		{location{0, `//server/share/a`}, 0, `\??\UNC\server\share\a`},
		{location{0, `\\?\UNC\server\share\a`}, 0, `\??\UNC\server\share\a`},
	} {
		if root, name, err := c.p.native(); root != c.root || name != c.name || err != nil {
			t.Errorf("%v: %v, %s, %v; want %s", c.p, root, name, err, c.name)
		}
	}
}

// TestDeleteReadOnly: as it is done where the system can't delete what is read-only.
func TestDeleteReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	p := location{0, path}
	h, err := p.open(windows.DELETE, win32.ShareAll, windows.OPEN_EXISTING, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := win32.DeleteOnClose(h); err == nil {
		t.Fatal("it is not read-only")
	}
	if err := p.deleteReadOnly(h, windows.ERROR_ACCESS_DENIED); err != nil {
		t.Error(err)
	}
	if err := windows.CloseHandle(h); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
