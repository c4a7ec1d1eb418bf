//go:build !linux

package copytree

import "os"

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
		entries = append(entries, entry{e.Name(), e.Type()})
	}
	return entries, err
}
