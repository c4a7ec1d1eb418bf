package copytree

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

// segments are the parts of a file that are not holes, in order. See lseek(2), SEEK_DATA.
func segments(f *ringport.File, st status) (parts []segment) {
	if st.stored >= st.size {
		return []segment{{0, st.size}}
	}
	fd := int(f.Fd())
	for end := int64(0); end < st.size; {
		start, err := unix.Seek(fd, end, unix.SEEK_DATA)
		if err == unix.ENXIO { // a hole to the end
			break
		}
		if err != nil { // the file system does not tell
			return append(parts, segment{end, st.size})
		}
		if start >= st.size {
			break
		}
		if end, err = unix.Seek(fd, start, unix.SEEK_HOLE); err != nil || end > st.size {
			end = st.size
		}
		parts = append(parts, segment{start, end})
	}
	return parts
}
