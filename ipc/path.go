package ipc

import (
	"fmt"

	"github.com/ringport/ringport"
)

// Path is where [Listen] and [Dial] find a name.
//
// A plain name, without slashes, is for programs that run on every system. On Windows it is a pipe, \\.\pipe\NAME, which every user of the
// machine can see. On Unix it is a socket in the user's own folder, which nobody else can use: $XDG_RUNTIME_DIR, or where that is not set a folder
// ringport-UID in the one for temporary files. Listen makes the latter, and both Listen and Dial make sure that it is the user's alone.
// Server and client must have the same environment for that.
//
// A name with slashes is a path, and stays as it is: \\.\pipe\NAME, for Dial \\SERVER\pipe\NAME too, with slashes of either kind, on Windows; the
// path of a socket elsewhere.
//
// ringport.ErrInvalidAddress if name is neither.
func Path(name string) (string, error) {
	path, _, err := locate(name)
	return path, err
}

// shown is name as errors have it: the path, which depends on the environment, or name itself if it has none.
func shown(name string) Addr {
	path, err := Path(name)
	if err != nil {
		return Addr(name)
	}
	return Addr(path)
}

func invalid(name string) error { return fmt.Errorf("%w: %q", ringport.ErrInvalidAddress, name) }
