//go:build unix

package pool

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// attemptSocket reads or writes a socket without blocking; errNoAttempt if fd is none.
func attemptSocket(r *driver.Request, fd int) (int, error) {
	if r.Off != driver.CurrentOffset {
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			return 0, unix.ESPIPE
		}
		return 0, errNoAttempt
	}
	n, err := moveMessage(r, fd, unix.MSG_DONTWAIT)
	if err == unix.ENOTSOCK {
		return 0, errNoAttempt
	}
	return n, err
}

// noMessage is that of requests that have none. It is only read.
var noMessage driver.Message

func messageOf(r *driver.Request) *driver.Message {
	if r.Ext == nil || r.Ext.Message == nil {
		return &noMessage
	}
	return r.Ext.Message
}

// receiveIntoPicked receives into a buffer that is picked for it, and put back if nothing has come.
func receiveIntoPicked(r *driver.Request, fd int) (int, error) {
	bufs := r.Ext.Buffers
	picked := bufs.Pick()
	r.Buf = bufs.Bytes(picked)
	n, err := moveMessage(r, fd, int(r.Arg)|unix.MSG_DONTWAIT)
	if r.Buf = nil; n == 0 || err != nil {
		bufs.Free(picked)
		picked = 0
	}
	r.Ext.Shots.Taken = picked
	return n, err
}

// isMessage reports whether a kind is one for sockets alone.
func isMessage(k driver.Kind) bool { return k >= driver.Recv && k <= driver.SendMsg }

func execMessage(r *driver.Request, fd, _ int) (int, error) { return moveMessage(r, fd, int(r.Arg)) }

// startMessage needs no look at what fd is: all but sockets are refused by the call.
func (d *Driver) startMessage(r *driver.Request) bool {
	fd := d.descriptor(r)
	if !r.Kind.Reads() && !sendsWithoutBlocking {
		if err := unblock(fd); err != nil {
			r.Err = err
			return true
		}
	}
	return d.startStream(r, fd)
}

// unblock sets O_NONBLOCK, as package net does to all sockets, where a call has no flag of its own to the same effect: else a competitor
// that is faster could make it block.
func unblock(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_NONBLOCK == 0 {
		err = unix.SetNonblock(fd, true)
	}
	return err
}

func execSocket(r *driver.Request, _, _ int) (int, error) {
	if r.Len != int64(int32(r.Len)) {
		return 0, unix.EINVAL
	}
	return newSocket(int(r.Arg), int(r.Arg2), int(r.Len))
}

func execBind(r *driver.Request, fd, _ int) (int, error) {
	to, err := someSockaddr(fd, r.Ext.Address)
	if err != nil {
		return 0, err
	}
	return 0, unix.Bind(fd, to)
}

func execListen(r *driver.Request, fd, _ int) (int, error) {
	return 0, unix.Listen(fd, int(r.Arg))
}

func execShutdown(r *driver.Request, fd, _ int) (int, error) {
	return 0, unix.Shutdown(fd, int(r.Arg))
}

func execAccept(r *driver.Request, fd, _ int) (int, error) {
	conn, from, err := acceptFrom(fd)
	if err != nil {
		return 0, err
	}
	if r.Ext != nil && r.Ext.Address != nil {
		SetAddress(r.Ext.Address, from)
	}
	return conn, nil
}

// startAccept and startConnect: there is no flag that keeps these calls from blocking but the descriptor's own.
func (d *Driver) startAccept(r *driver.Request) bool {
	fd := d.descriptor(r)
	if r.Err = unblock(fd); r.Err != nil {
		return true
	}
	return d.startStream(r, fd)
}

func (d *Driver) startConnect(r *driver.Request) bool { return d.startAccept(r) }

func execConnect(r *driver.Request, fd, _ int) (int, error) {
	to, err := someSockaddr(fd, r.Ext.Address)
	if err != nil {
		return 0, err
	}
	return 0, unix.Connect(fd, to)
}

// attemptConnect begins a connection, or looks how far it is; EAGAIN while it is under way. The poller may report too much, so that
// a socket without an error counts as connected only if it has a peer.
func (d *Driver) attemptConnect(r *driver.Request, fd int) (int, error) {
	if r.State.Slot&begun == 0 {
		n, err := execConnect(r, fd, 0)
		if err != unix.EINPROGRESS && err != unix.EINTR {
			return n, err
		}
		d.mu.Lock()
		r.State.Slot |= begun
		d.mu.Unlock()
		return 0, unix.EAGAIN
	}
	soError, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return 0, err
	}
	switch errno := unix.Errno(soError); errno {
	case 0:
		if _, err := unix.Getpeername(fd); err != nil {
			return 0, unix.EAGAIN
		}
	case unix.EISCONN:
	case unix.EINPROGRESS, unix.EALREADY, unix.EINTR:
		return 0, unix.EAGAIN
	default:
		return 0, errno
	}
	return 0, nil
}

// sockaddr is a as package unix has it; nil if a is nil or none. Other families than IP's and Unix's are EAFNOSUPPORT.
func sockaddr(a *driver.Address) (unix.Sockaddr, error) {
	if a == nil || a.Len == 0 {
		return nil, nil
	}
	if ap, ok := a.IP(); ok {
		if ap.Addr().Is4() {
			return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, nil
		}
		scope, _ := strconv.ParseUint(ap.Addr().Zone(), 10, 32)
		return &unix.SockaddrInet6{Port: int(ap.Port()), ZoneId: uint32(scope), Addr: ap.Addr().As16()}, nil
	}
	if path, ok := a.Path(); ok {
		return &unix.SockaddrUnix{Name: path}, nil
	}
	return nil, unix.EAFNOSUPPORT
}

// someSockaddr is sockaddr where there must be one. What is wrong with fd comes first.
func someSockaddr(fd int, a *driver.Address) (unix.Sockaddr, error) {
	to, err := sockaddr(a)
	if to == nil && err == nil {
		if _, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			err = unix.EINVAL
		}
	}
	return to, err
}

// SetAddress stores what the system has said; nothing if it is an address that driver.Address can't have.
func SetAddress(a *driver.Address, from unix.Sockaddr) {
	*a = driver.Address{}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		a.SetIP(netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port)))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(from.Addr)
		if from.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(from.ZoneId), 10))
		}
		a.SetIP(netip.AddrPortFrom(ip, uint16(from.Port)))
	case *unix.SockaddrUnix:
		a.SetPath(from.Name)
	}
}
