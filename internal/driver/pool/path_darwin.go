package pool

import "golang.org/x/sys/unix"

// renameWithFlags takes this system's flags: RENAME_EXCL, RENAME_SWAP. See renameatx_np(2).
func renameWithFlags(dir int, path string, dir2 int, path2 string, flags uint32) error {
	return unix.RenameatxNp(dir, path, dir2, path2, flags)
}
