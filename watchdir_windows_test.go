package ringport

import (
	"errors"

	"golang.org/x/sys/windows"
)

// watchedFiles is few under Wine, where each takes milliseconds.
var watchedFiles = map[bool]int{true: 2000, false: 100_000}[wine]

// movesWatched: directories can be moved and removed while they are watched. The watch lists what is new in them, and what is open can't be moved.
const movesWatched = false

// lagLoses: Wine leaves out, without a word, what does not fit into the caller's buffer though it fits into its own, where names are shorter.
var lagLoses = wine

// isBusy reports whether err says that a file is being removed, or open elsewhere.
func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
}
