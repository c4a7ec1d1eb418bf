//go:build unix

package ipc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// errShared says of a folder that plain names can't be in it: others might put a socket of theirs where a client looks for the server's.
var errShared = errors.New("the folder is not this user's alone")

// locate is Path, with the folder if name is a plain one.
func locate(name string) (path, folder string, err error) {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsRune(name, 0):
		return "", "", invalid(name)
	case strings.HasPrefix(name, "@") && strings.Contains(name, "/"): // which would be an abstract address, open to everybody
		return "./" + name, "", nil
	case strings.Contains(name, "/"):
		return name, "", nil
	case strings.Contains(name, `\`): // meant for another system
		return "", "", invalid(name)
	}
	folder = os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(folder) { // such a value is to be ignored, says the XDG Base Directory Specification
		folder = filepath.Join(os.TempDir(), "ringport-"+strconv.Itoa(os.Geteuid()))
	}
	return filepath.Join(folder, name), folder, nil
}

// ensurePath is where to listen. A plain name's folder is made.
func ensurePath(name string) (string, error) {
	_, folder, err := locate(name)
	if err != nil {
		return "", err
	}
	if folder != "" {
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return checkedPath(name)
}

// checkedPath is where to connect. A plain name's folder must be one in which nobody else can put anything.
func checkedPath(name string) (string, error) {
	path, folder, err := locate(name)
	if err != nil || folder == "" {
		return path, err
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return "", err
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; !info.IsDir() || int64(owner) != int64(os.Geteuid()) || info.Mode().Perm()&0o077 != 0 {
		return "", &fs.PathError{Op: "use", Path: folder, Err: errShared}
	}
	return path, nil
}
