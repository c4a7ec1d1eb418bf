//go:build unix && !linux && !darwin

package pool

import "golang.org/x/sys/unix"

// askable are the events of a Poll that every system's poll(2) knows. Higher ones mean something else on each: 0x2000 is POLLRDHUP on Linux,
// and POLLINIGNEOF on FreeBSD.
const askable = 0x1ff

// sendsWithoutBlocking: send(2) heeds MSG_DONTWAIT.
const sendsWithoutBlocking = true

func pollSystem(fds []unix.PollFd, timeoutMillis int) (int, error) {
	return unix.Poll(fds, timeoutMillis)
}

// openEvent makes the descriptors behind Pollable and the poller's interrupt: a pipe.
func openEvent() (readEnd, writeEnd int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	return p[0], p[1], err
}
