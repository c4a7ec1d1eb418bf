package ringport

import "golang.org/x/sys/unix"

// O_DIRECT is a flag for [Manager.OpenFile], beside those of package os: transfers go past the page cache (F_NOCACHE, see
// fcntl(2)). It has no meaning to the system's own calls.
const O_DIRECT = 1 << 30

func nativeFlags(flag int) (int, error) { return flag &^ O_DIRECT, nil }

// isDirect: F_NOCACHE does not show in a descriptor's flags.
func isDirect(flags int) bool { return false }

func goDirect(h Handle) error {
	_, err := unix.FcntlInt(uintptr(h), unix.F_NOCACHE, 1)
	return err
}
