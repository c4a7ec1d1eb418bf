//go:build unix

package drivertest

import (
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/driver/pool"
)

// What the system answers, by what it means.
const (
	errReset        = unix.ECONNRESET
	errRefused      = unix.ECONNREFUSED
	errNoFamily     = unix.EAFNOSUPPORT
	errInvalid      = unix.EINVAL
	errInUse        = unix.EADDRINUSE
	errBadSocket    = unix.EBADF
	errNotSocket    = unix.ENOTSOCK
	errNotConnected = unix.ENOTCONN
	errWouldWait    = unix.EAGAIN
	errNoUnixSocket = unix.ENOENT
)

const (
	msgWaitAll = unix.MSG_WAITALL
	msgTrunc   = unix.MSG_TRUNC
)

const hasUnixSockets = true

func localAddress(f *fixture, h driver.Handle) (a driver.Address) {
	f.Helper()
	at, err := unix.Getsockname(int(h))
	if err != nil {
		f.Fatal(err)
	}
	pool.SetAddress(&a, at)
	return a
}

// lingerZero makes the next close a reset.
func lingerZero(f *fixture, h driver.Handle) {
	f.Helper()
	if err := unix.SetsockoptLinger(int(h), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		f.Fatal(err)
	}
}

// controlMessages: a descriptor goes from one end of a Unix socket to the other.
func controlMessages(f *fixture) {
	at := streamAddresses(f)["unix"]
	client, server := f.connection(at)
	file := f.openFile(f.tempFile("content"), unix.O_RDONLY)
	out := message(driver.SendMsg, client, driver.Message{Control: unix.UnixRights(int(file))}, 1)
	in := message(driver.RecvMsg, server, driver.Message{Control: make([]byte, 64)}, 8)
	f.start(in)
	f.must(out, 1)
	if f.await(in); in.N != 1 || in.Err != nil {
		f.Fatalf("%d, %v", in.N, in.Err)
	}
	all, err := unix.ParseSocketControlMessage(in.Ext.Message.Control[:in.Ext.Message.ControlBytes])
	if err != nil || len(all) != 1 {
		f.Fatalf("%v, %v", all, err)
	}
	fds, err := unix.ParseUnixRights(&all[0])
	if err != nil || len(fds) != 1 {
		f.Fatalf("%v, %v", fds, err)
	}
	h := f.keep(driver.Handle(fds[0]))
	if r := read(h, 64, 0); true {
		if f.must(r, 7); got(r) != "content" {
			f.Errorf("%q", got(r))
		}
	}
	in = message(driver.RecvMsg, server, driver.Message{Control: make([]byte, 64)}, 8) // none
	f.must(send(client, "x"), 1)
	if f.must(in, 1); in.Ext.Message.ControlBytes != 0 {
		f.Errorf("%d bytes", in.Ext.Message.ControlBytes)
	}
}

func setNonblock(f *fixture, h driver.Handle, on bool) {
	f.Helper()
	if err := unix.SetNonblock(int(h), on); err != nil {
		f.Fatal(err)
	}
}
