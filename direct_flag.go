//go:build linux || freebsd || netbsd || dragonfly

package ringport

import "golang.org/x/sys/unix"

// O_DIRECT is a flag for [Manager.OpenFile], beside those of package os: transfers go past the page cache, and on Linux
// take their buffers from [AlignedBuffer], with aligned lengths and offsets. It is O_DIRECT on Linux and the BSDs that have
// it, and F_NOCACHE on macOS; elsewhere opening fails with ErrUnsupported. A file system that has no direct I/O fails with EINVAL.
// At the end of a file a read of whole blocks returns what is there; to write an end that is no whole block, write the block and
// [File.Truncate].
const O_DIRECT = unix.O_DIRECT

func nativeFlags(flag int) (int, error) { return flag, nil }

func isDirect(flags int) bool { return flags&unix.O_DIRECT != 0 }

func goDirect(h Handle) error { return nil }
