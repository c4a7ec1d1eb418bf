//go:build !linux

package copytree

import (
	"io/fs"
	"os"
	"path/filepath"
)

// readFolder returns the entries that could be read, in the order of the folder.
func readFolder(path string) ([]entry, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	found, err := d.ReadDir(-1)
	entries := make([]entry, 0, len(found))
	for _, e := range found {
		kind := e.Type()
		if kind&fs.ModeIrregular != 0 { // on Windows also what lies in a cloud, or is compressed in a way of its own
			if st, err := statusOf(filepath.Join(path, e.Name())); err == nil {
				kind = st.mode.Type()
			}
		}
		entries = append(entries, entry{e.Name(), kind})
	}
	return entries, err
}
