package main

import (
	"errors"
	"os"
)

// systemEngine is the engine that this system alone has: what there is to do about osFileNote.
var systemEngine = engineKind{"osfiles", "as osfile, but each goroutine has opened the file for itself", openOSFiles}

// osFileNote is what the user should know of engine osfile. See internal/poll.FD.Pread, which takes the file's lock.
const osFileNote = "an os.File does one ReadAt or WriteAt at a time on Windows"

func openOSFiles(spec *engineSpec) (engine, error) {
	e := newBlocking(spec)
	files := make([]*os.File, spec.Depth)
	e.file = func(goroutine int) readerWriterAt { return files[goroutine] }
	e.shut = func() error {
		var err error
		for _, f := range files {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
		return err
	}
	for i := range files {
		var err error
		if files[i], err = spec.osFile(); err != nil {
			return nil, errors.Join(err, e.shut())
		}
	}
	return e, nil
}
