// Package process is what waiting for processes and ending them takes on each system: a handle that tells when a process is over, the
// status that it leaves, pipes that a child can have an end of, and a child with all its descendants as one thing to end.
package process

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

// Status is how a process ended, and what it used.
type Status struct {
	PID        int
	Code       int            // what it exited with: 0 to 255, Windows: 32 bits; -1 if a signal ended it
	Signal     syscall.Signal // what ended it, 0 if it exited; always 0 on Windows
	CoreDumped bool

	UserTime, SystemTime time.Duration // of the processor; on Unix, with the children that it waited for
}

// Success reports whether the process exited with 0.
func (s Status) Success() bool { return s.Code == 0 && s.Signal == 0 }

// String is what os.ProcessState says: "exit status 1", "signal: killed".
func (s Status) String() string {
	switch {
	case s.Signal != 0 && s.CoreDumped:
		return "signal: " + s.Signal.String() + " (core dumped)"
	case s.Signal != 0:
		return "signal: " + s.Signal.String()
	case runtime.GOOS == "windows" && s.Code >= 1<<16: // an NTSTATUS, most likely
		return "exit status 0x" + strconv.FormatUint(uint64(s.Code), 16)
	}
	return "exit status " + strconv.Itoa(s.Code)
}

// ErrNoStatus says that a process is over, and that its status is not to be had: it was no child of this process, or somebody else has
// taken the status. It matches syscall.ECHILD.
var ErrNoStatus error = noStatus{}

type noStatus struct{}

func (noStatus) Error() string {
	return "the process is over, and its status is not to be had: it is no child, or was waited for"
}
func (noStatus) Is(target error) bool { return target == syscall.ECHILD }

// errTaken is ECHILD as what it means once a process is over.
func errTaken(err error) error {
	if errors.Is(err, syscall.ECHILD) {
		return ErrNoStatus
	}
	return err
}

// PipeBytes is the most that a pipe made here holds.
const PipeBytes = 64 << 10

// Handle is a descriptor or HANDLE.
type Handle = driver.Handle
