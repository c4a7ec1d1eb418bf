package ringport

import "github.com/ringport/ringport/internal/driver"

// Fsync writes a file's data and metadata to the disk. See fsync(2), FlushFileBuffers.
func Fsync(h Handle) Op { return Op{req: driver.Request{Kind: driver.Fsync, FD: h}} }

// Fdatasync writes a file's data, and the metadata needed to read it back, to the disk. See fdatasync(2).
func Fdatasync(h Handle) Op { return Op{req: driver.Request{Kind: driver.Fdatasync, FD: h}} }

// Fallocate reserves (mode 0) or otherwise changes n bytes of a file from off on. Mode is FALLOC_FL_*. See fallocate(2).
func Fallocate(h Handle, mode uint32, off, n int64) Op {
	return Op{req: driver.Request{Kind: driver.Fallocate, FD: h, Off: off, Len: n, Arg: mode}}
}

// Truncate makes a file size bytes long. See ftruncate(2), SetEndOfFile.
func Truncate(h Handle, size int64) Op {
	return Op{req: driver.Request{Kind: driver.Truncate, FD: h, Len: size}}
}

// Fadvise tells the system how n bytes of a file from off on will be used (0: to its end). Advice is POSIX_FADV_*; a
// system without such a call ignores it. See posix_fadvise(2).
func Fadvise(h Handle, off, n int64, advice uint32) Op {
	return Op{req: driver.Request{Kind: driver.Fadvise, FD: h, Off: off, Len: n, Arg: advice}}
}
