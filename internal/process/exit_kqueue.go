//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package process

import (
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// Exit tells when a process is over.
type Exit struct {
	// Handle polls readable when the process is over: a kqueue that has been told to watch for that.
	Handle Handle

	pid int
}

// Open finds the process with the given number. Errors: EINVAL for what is no number of a process, ESRCH if there is none.
func Open(pid int) (*Exit, error) {
	if pid <= 0 || pid > math.MaxInt32 {
		return nil, unix.EINVAL
	}
	kq, err := unix.Kqueue()
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(kq)
	var change [1]unix.Kevent_t
	unix.SetKevent(&change[0], pid, unix.EVFILT_PROC, unix.EV_ADD)
	change[0].Fflags = unix.NOTE_EXIT
	_, err = unix.Kevent(kq, change[:], nil, nil)
	if err == unix.ESRCH && unix.Kill(pid, 0) == nil { // over, with a status: some systems do not watch that any more
		unix.SetKevent(&change[0], 0, unix.EVFILT_TIMER, unix.EV_ADD)
		change[0].Fflags = 0 // milliseconds
		change[0].Data = 1
		_, err = unix.Kevent(kq, change[:], nil, nil)
	}
	if err != nil {
		unix.Close(kq)
		return nil, err
	}
	return &Exit{Handle: Handle(kq), pid: pid}, nil
}

// Of answers driver.ErrUnsupported: no descriptor stands for a process.
func Of(Handle) (*Exit, error) { return nil, driver.ErrUnsupported }

// Status takes the status that the process, which is over, has left. It is taken once: see ErrNoStatus.
func (x *Exit) Status() (Status, error) {
	var status unix.WaitStatus
	var usage unix.Rusage
	for {
		// It may wait for a moment: the event comes when the process begins to go.
		if _, err := unix.Wait4(x.pid, &status, 0, &usage); err == nil {
			return statusOf(x.pid, status, &usage), nil
		} else if err != unix.EINTR {
			return Status{}, errTaken(err)
		}
	}
}

// Close gives back what Open has taken; the process lives on.
func (x *Exit) Close() { unix.Close(int(x.Handle)) }

func statusOf(pid int, w unix.WaitStatus, usage *unix.Rusage) Status {
	s := Status{PID: pid, Code: w.ExitStatus(), UserTime: time.Duration(usage.Utime.Nano()), SystemTime: time.Duration(usage.Stime.Nano())}
	if w.Signaled() {
		s.Signal, s.CoreDumped = w.Signal(), w.CoreDump()
	}
	return s
}
