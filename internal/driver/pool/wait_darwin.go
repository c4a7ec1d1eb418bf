package pool

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// askable are the events of a Poll that every system's poll(2) knows. Higher ones mean something else on each: 0x2000 is POLLRDHUP on Linux,
// and POLLINIGNEOF on FreeBSD.
const askable = 0x1ff

// sendsWithoutBlocking: send(2) ignores MSG_DONTWAIT here.
const sendsWithoutBlocking = false

// pollSystem is poll(2), which here "does not support devices" (its manual page) and calls them invalid. If there are some,
// it is select(2) that waits.
func pollSystem(fds []unix.PollFd, timeoutMillis int) (int, error) {
	n, err := unix.Poll(fds, 0)
	if err != nil || !hasDevice(fds) {
		if err != nil || n > 0 || timeoutMillis == 0 {
			return n, err
		}
		return unix.Poll(fds, timeoutMillis)
	}
	return selectInstead(fds, timeoutMillis)
}

// hasDevice reports whether one that poll has called invalid is open all the same.
func hasDevice(fds []unix.PollFd) bool {
	for i := range fds {
		if fds[i].Revents&unix.POLLNVAL != 0 {
			if _, err := unix.FcntlInt(uintptr(fds[i].Fd), unix.F_GETFD, 0); err == nil {
				return true
			}
		}
	}
	return false
}

// selectInstead says what poll would. Descriptors that select can't take (from 1024 on) count as ready, so that a worker tries
// them. So do closed ones, as invalid.
func selectInstead(fds []unix.PollFd, timeoutMillis int) (int, error) {
	var in, out unix.FdSet
	last, ready := -1, 0
	for i := range fds {
		f := &fds[i]
		f.Revents = 0
		if _, err := unix.FcntlInt(uintptr(f.Fd), unix.F_GETFD, 0); err != nil {
			f.Revents = unix.POLLNVAL
		} else if f.Fd >= unix.FD_SETSIZE {
			f.Revents = f.Events & (unix.POLLIN | unix.POLLOUT)
		}
		if f.Revents != 0 {
			ready++
			continue
		}
		if f.Events&unix.POLLIN != 0 {
			in.Set(int(f.Fd))
		}
		if f.Events&unix.POLLOUT != 0 {
			out.Set(int(f.Fd))
		}
		last = max(last, int(f.Fd))
	}
	var limit *unix.Timeval
	if ready > 0 {
		timeoutMillis = 0
	}
	if timeoutMillis >= 0 {
		tv := unix.NsecToTimeval(int64(timeoutMillis) * int64(time.Millisecond))
		limit = &tv
	}
	if _, err := unix.Select(last+1, &in, &out, nil, limit); err != nil {
		return 0, err
	}
	for i := range fds {
		f := &fds[i]
		if f.Revents != 0 {
			continue
		}
		if f.Events&unix.POLLIN != 0 && in.IsSet(int(f.Fd)) {
			f.Revents |= unix.POLLIN
		}
		if f.Events&unix.POLLOUT != 0 && out.IsSet(int(f.Fd)) {
			f.Revents |= unix.POLLOUT
		}
		if f.Revents != 0 {
			ready++
		}
	}
	return ready, nil
}

// openEvent makes the descriptors behind Pollable and the poller's interrupt: a pipe. The lock keeps a fork from inheriting
// it before the flags are set.
func openEvent() (readEnd, writeEnd int, err error) {
	var p [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err = unix.Pipe(p[:]); err != nil {
		return -1, -1, err
	}
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err = unix.SetNonblock(fd, true); err != nil {
			unix.Close(p[0])
			unix.Close(p[1])
			return -1, -1, err
		}
	}
	return p[0], p[1], nil
}
