//go:build !linux && !freebsd && !netbsd && !dragonfly && !darwin && !windows

package ringport

// O_DIRECT is a flag for [Manager.OpenFile], beside those of package os, for transfers past the page cache. This system has none
// such: opening fails with ErrUnsupported.
const O_DIRECT = 1 << 30

func nativeFlags(flag int) (int, error) {
	if flag&O_DIRECT != 0 {
		return 0, ErrUnsupported
	}
	return flag, nil
}

func goDirect(h Handle) error { return ErrUnsupported }
