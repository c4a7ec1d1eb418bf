package copytree

import (
	"context"
	"io/fs"
	"path/filepath"
)

// Measure finds out how much sources are: the files to be copied, and their bytes. What it cannot read it leaves out. It ends
// early when ctx does.
func Measure(ctx context.Context, sources []string) (files, bytes int64) {
	seen := map[fileID]bool{}
	for _, source := range sources {
		filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return filepath.SkipAll
			}
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			st, err := statusOf(path)
			if err != nil || st.links > 1 && seen[st.id] {
				return nil
			}
			if st.links > 1 && st.id.known() {
				seen[st.id] = true
			}
			files++
			bytes += st.size
			return nil
		})
	}
	return files, bytes
}
