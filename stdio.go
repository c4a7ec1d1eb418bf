package ringport

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
)

var (
	stdin  = sync.OnceValue(func() *File { return standardFile(Handle(syscall.Stdin), "/dev/stdin") })
	stdout = sync.OnceValue(func() *File { return standardFile(Handle(syscall.Stdout), "/dev/stdout") })
	stderr = sync.OnceValue(func() *File { return standardFile(Handle(syscall.Stderr), "/dev/stderr") })
)

// Stdin returns standard input as a file of the default manager, always the same one. A read of it ends with the context of a
// view, see [File.WithContext], and takes no byte with it, at a terminal too, line by line or raw: what has been typed of a line is still
// there for the next read, and on the screen. The descriptor's modes, which other processes share, stay as they are. If there is no default manager or no such descriptor, every use of the file says so.
func Stdin() *File { return stdin() }

// Stdout returns standard output, as [Stdin] does standard input.
func Stdout() *File { return stdout() }

// Stderr returns standard error, as [Stdin] does standard input.
func Stderr() *File { return stderr() }

func standardFile(h Handle, name string) *File {
	m, err := Default()
	if err == nil {
		var f *File
		if f, err = m.adopt(h, name); err == nil {
			return f
		}
	}
	if errors.Is(err, errBadHandle) {
		err = fmt.Errorf("the program was started without it, or has closed it: %w", err)
	}
	f := &file{name: name, why: err}
	f.state.Store(fileClosed)
	return &File{file: f}
}
