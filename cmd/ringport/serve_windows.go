package main

import (
	"os"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
)

// openWithoutWaiting: opening waits for nobody.
const openWithoutWaiting = 0

// duplicate is another handle of f, which the caller owns.
func duplicate(f *os.File) (ringport.Handle, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var h windows.Handle
	if failed := raw.Control(func(from uintptr) {
		self := windows.CurrentProcess()
		err = windows.DuplicateHandle(self, windows.Handle(from), self, &h, 0, false, windows.DUPLICATE_SAME_ACCESS)
	}); failed != nil {
		return 0, failed
	}
	return ringport.Handle(h), os.NewSyscallError("DuplicateHandle", err)
}

func closeDuplicate(h ringport.Handle) { windows.CloseHandle(windows.Handle(h)) }
