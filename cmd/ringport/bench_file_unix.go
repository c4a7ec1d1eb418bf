//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// isDeviceName: devices have names as files have.
func isDeviceName(string) bool { return false }

func openFile(path string, flags int) (*os.File, error) { return os.OpenFile(path, flags, 0) }

func createTemporary(folder string) (*os.File, error) { return os.CreateTemp(folder, tempPattern) }

// loseName removes the name of a temporary file that is open.
func (b *benchFile) loseName() {
	if os.Remove(b.remove) == nil {
		b.remove = ""
	}
}

const errReadOnlyDisk = unix.EROFS

func isDiskFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
