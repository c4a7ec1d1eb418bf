//go:build unix

package ringport

import "golang.org/x/sys/unix"

// isRegular reports whether h is a regular file or a block device, whose operations end by themselves.
func isRegular(h Handle) bool {
	var st unix.Stat_t
	if _, ok := h.Registered(); ok || h > 1<<30 || unix.Fstat(int(h), &st) != nil {
		return false
	}
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFREG || kind == unix.S_IFBLK
}
