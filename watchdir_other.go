//go:build !linux && !windows

package ringport

// run: kqueue(2) reports changes of a directory without names, so that each would take a listing and an open descriptor a file.
func (w *dirWatch) run() error { return ErrUnsupported }
