package drivertest

import (
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// Polls of what stands for a signal: an eventfd, a timerfd, a pidfd, and what a socket has beside data.
var signalTests = []test{
	{name: "PollEvent", run: pollEvent},
	{name: "PollTimer", run: pollTimer},
	{name: "PollProcess", run: pollProcess},
	{name: "PollSocketWhosePeerHasShutDown", run: pollShutDown},
}

// made is a new descriptor for the driver, which the end of the test closes.
func (f *fixture) made(fd int, err error) driver.Handle {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
	return f.keep(driver.Handle(fd))
}

// signalled waits for q.
func (f *fixture) signalled(q *driver.Request) {
	f.Helper()
	if f.await(q); q.N != unix.POLLIN || q.Err != nil {
		f.Fatalf("%#x, %v", q.N, q.Err)
	}
	again(q)
}

// pollEvent: it is ready again and again until somebody reads it.
func pollEvent(f *fixture) {
	h := f.made(unix.Eventfd(0, unix.EFD_CLOEXEC))
	q := &driver.Request{Kind: driver.Poll, FD: h, Arg: unix.POLLIN}
	for range 20 {
		f.start(q)
		f.stay(q)
		f.put(h, "\x01\x00\x00\x00\x00\x00\x00\x00")
		f.signalled(q)
		for range 3 {
			f.must(&driver.Request{Kind: driver.Poll, FD: h, Arg: unix.POLLIN}, unix.POLLIN)
		}
		if _, err := take(h, 8); err != nil {
			f.Fatal(err)
		}
	}
}

func pollTimer(f *fixture) {
	h := f.made(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC))
	q := &driver.Request{Kind: driver.Poll, FD: h, Arg: unix.POLLIN}
	f.start(q)
	f.stay(q)
	every := unix.NsecToTimespec(int64(time.Millisecond))
	if err := unix.TimerfdSettime(int(h), 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		f.Fatal(err)
	}
	for range 10 {
		f.signalled(q)
		if _, err := take(h, 8); err != nil {
			f.Fatal(err)
		}
		f.start(q)
	}
	f.cancel(q)
	f.await(q)
}

func pollProcess(f *fixture) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.Fatal(err)
	}
	h := f.made(unix.PidfdOpen(cmd.Process.Pid, 0))
	q := &driver.Request{Kind: driver.Poll, FD: h, Arg: unix.POLLIN}
	f.start(q)
	f.stay(q)
	in.Close()
	f.signalled(q)
	f.must(&driver.Request{Kind: driver.Poll, FD: h, Arg: unix.POLLIN}, unix.POLLIN) // it stays so
	cmd.Wait()
}

// pollShutDown: POLLRDHUP, to whom it asks for it. Io_uring reports it unasked, too.
func pollShutDown(f *fixture) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		f.Fatal(err)
	}
	a, b := f.made(pair[0], nil), f.made(pair[1], nil)
	q := &driver.Request{Kind: driver.Poll, FD: a, Arg: unix.POLLRDHUP}
	f.start(q)
	f.put(b, "x")
	f.stay(q)
	if err := unix.Shutdown(int(b), unix.SHUT_WR); err != nil {
		f.Fatal(err)
	}
	if f.await(q); q.N != unix.POLLRDHUP || q.Err != nil {
		f.Errorf("%#x, %v", q.N, q.Err)
	}
	f.must(&driver.Request{Kind: driver.Poll, FD: a, Arg: unix.POLLIN | unix.POLLRDHUP}, unix.POLLIN|unix.POLLRDHUP)
}
