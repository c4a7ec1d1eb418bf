package pool

import "golang.org/x/sys/unix"

// askable are the events of a Poll that poll(2) and epoll(7) know.
const askable = 0xffff

func pollSystem(fds []unix.PollFd, timeoutMillis int) (int, error) {
	return unix.Poll(fds, timeoutMillis)
}

// openEvent makes the descriptor behind Pollable: an eventfd, which is both ends.
func openEvent() (readEnd, writeEnd int, err error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return fd, fd, err
}
