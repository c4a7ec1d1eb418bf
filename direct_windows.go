package ringport

import "golang.org/x/sys/windows"

// O_DIRECT is a flag for [Manager.OpenFile], beside those of package os: transfers go past the cache, and take their buffers from
// [AlignedBuffer], with aligned lengths and offsets. At the end of a file a read of whole blocks returns what is there; to write an end that
// is no whole block, write the block and [File.Truncate]. It is FILE_FLAG_NO_BUFFERING, see CreateFile, and works with os.OpenFile too.
// Wine does not insist on alignment, so that a program that runs there may fail with [MisalignedError] on Windows.
const O_DIRECT = 0x20000000

func nativeFlags(flag int) (int, error) { return flag, nil }

// isDirect takes the mode that FileModeInformation shows.
func isDirect(mode int) bool { return mode&windows.FILE_NO_INTERMEDIATE_BUFFERING != 0 }

func goDirect(h Handle) error { return nil }
