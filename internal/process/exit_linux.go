package process

import (
	"math"

	"golang.org/x/sys/unix"
)

// Exit tells when a process is over.
type Exit struct {
	// Handle polls readable when the process is over, its status not yet taken.
	Handle Handle

	idType int     // of waitid(2): P_PIDFD, or P_PID where pidfds can't be had
	id     int     // its descriptor or number
	thread *thread // what waits, where pidfds can't be had
	owned  bool    // Handle is ours to close
}

// Open finds the process with the given number. Errors: EINVAL for what is no number of a process, ESRCH if there is none; where pidfds
// can't be had (Linux before 5.3, seccomp), driver.ErrUnsupported for what is not a child of this process.
func Open(pid int) (*Exit, error) {
	if pid <= 0 || pid > math.MaxInt32 { // the kernel would look at the low half
		return nil, unix.EINVAL
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch err {
	case nil:
		return &Exit{Handle: Handle(fd), idType: unix.P_PIDFD, id: fd, owned: true}, nil
	case unix.ENOSYS, unix.EPERM:
		return openThread(pid)
	}
	return nil, err
}

// Of is the process that h, a pidfd, stands for. It stays the caller's. Errors: EBADF, EINVAL for a descriptor that is no pidfd.
func Of(h Handle) (*Exit, error) {
	if h > math.MaxInt32 {
		return nil, unix.EBADF
	}
	x := &Exit{Handle: h, idType: unix.P_PIDFD, id: int(h)}
	if _, err := x.wait(unix.WEXITED | unix.WNOWAIT | unix.WNOHANG); err != nil && err != unix.ECHILD {
		return nil, err
	}
	return x, nil
}

// Status takes the status that the process, which is over, has left. It is taken once: see ErrNoStatus.
func (x *Exit) Status() (Status, error) {
	s, err := x.wait(unix.WEXITED)
	return s, errTaken(err)
}

func (x *Exit) wait(options int) (Status, error) { return waitid(x.idType, x.id, options) }

// Close gives back what Open has taken; the process lives on.
func (x *Exit) Close() {
	if x.thread != nil {
		x.thread.stop()
	}
	if x.owned {
		unix.Close(int(x.Handle))
	}
}
