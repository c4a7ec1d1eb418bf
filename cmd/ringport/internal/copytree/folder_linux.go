package copytree

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io/fs"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// readFolder returns the entries that could be read, in the order of their inodes. That is about the order in which they lie
// on the disk, while the folder's own is that of a hash.
func readFolder(path string) ([]entry, error) {
	fd := -1
	err := patiently(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	buf := folderBuffers.Get().(*[32 << 10]byte)
	defer folderBuffers.Put(buf)
	var found []numbered
	for {
		n := 0
		err := patiently(func() (err error) {
			n, err = unix.Getdents(fd, buf[:])
			return err
		})
		if err != nil || n == 0 {
			slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(a.inode, b.inode) })
			entries := make([]entry, 0, len(found))
			for _, e := range found {
				entries = append(entries, e.entry)
			}
			if err != nil {
				err = &fs.PathError{Op: "readdir", Path: path, Err: err}
			}
			return entries, err
		}
		found = appendEntries(found, buf[:n], path)
	}
}

var folderBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

type numbered struct {
	entry
	inode uint64
}

// appendEntries takes entries out of what getdents64(2) returned: for each 8 bytes of inode, 8 of offset, 2 of length, one
// of type, and the name with a zero at its end.
func appendEntries(found []numbered, records []byte, path string) []numbered {
	for len(records) >= 19 {
		length := binary.NativeEndian.Uint16(records[16:])
		name, _, _ := bytes.Cut(records[19:length], []byte{0})
		e := numbered{entry{string(name), fs.ModeIrregular}, binary.NativeEndian.Uint64(records)}
		switch records[18] {
		case unix.DT_REG:
			e.kind = 0
		case unix.DT_DIR:
			e.kind = fs.ModeDir
		case unix.DT_LNK:
			e.kind = fs.ModeSymlink
		case unix.DT_UNKNOWN: // the file system keeps no types there
			if st, err := os.Lstat(path + "/" + e.name); err == nil {
				e.kind = st.Mode().Type()
			}
		}
		records = records[length:]
		if e.name != "." && e.name != ".." {
			found = append(found, e)
		}
	}
	return found
}
