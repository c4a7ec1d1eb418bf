//go:build unix && !linux

package pool

import "golang.org/x/sys/unix"

const pipeBuf = 512 // PIPE_BUF at least: what fits into a pipe that polls writable, and is not mixed with what others write

// TryCached reads nothing: only Linux can ask for what the page cache holds.
func TryCached(fd int, buf []byte, off int64) (n int, ok bool) { return 0, false }

func isDirect(fd int) bool { return false }

// isStream reports whether fd may wait for somebody else.
func isStream(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	return isStreamMode(uint32(st.Mode)), nil
}

// spliceEntry is empty: only Linux has splice(2).
var spliceEntry entry
