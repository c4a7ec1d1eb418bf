package ringport

import (
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

func localAddress(h Handle, a *driver.Address) error { return addressOf(h, a, windows.Getsockname) }

func remoteAddress(h Handle, a *driver.Address) error { return addressOf(h, a, windows.Getpeername) }

func addressOf(h Handle, a *driver.Address, ask func(windows.Handle) (windows.Sockaddr, error)) error {
	return onSocket(h, func(s windows.Handle) error {
		at, err := ask(s)
		setAddress(a, at)
		return err
	})
}

func setAddress(a *driver.Address, at windows.Sockaddr) {
	switch at := at.(type) {
	case *windows.SockaddrInet4:
		a.SetIP(netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)))
	case *windows.SockaddrInet6:
		ip := netip.AddrFrom16(at.Addr)
		if at.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(at.ZoneId), 10))
		}
		a.SetIP(netip.AddrPortFrom(ip, uint16(at.Port)))
	case *windows.SockaddrUnix:
		a.SetPath(at.Name)
	}
}

func socketOption(h Handle, level, name int) (value int, err error) {
	err = onSocket(h, func(s windows.Handle) (err error) {
		value, err = windows.GetsockoptInt(s, level, name)
		return err
	})
	return value, err
}

func setSocketOption(h Handle, level, name, value int) error {
	return onSocket(h, func(s windows.Handle) error { return windows.SetsockoptInt(s, level, name, value) })
}

// onSocket makes one of Winsock's calls, to which everything that is no socket is the same.
func onSocket(h Handle, call func(windows.Handle) error) error {
	if err := win32.StartWinsock(); err != nil {
		return err
	}
	s := windows.Handle(h)
	err := call(s)
	if err == nil {
		return nil
	}
	if int(h) <= 0 || win32.IsOpen(s) != nil {
		return windows.ERROR_INVALID_HANDLE
	}
	if kind, _ := windows.GetFileType(s); kind != windows.FILE_TYPE_PIPE { // Wine has other words for that too
		return windows.WSAENOTSOCK
	}
	return err
}

// elsewhere reports whether target is what other systems call err, an error of Winsock's. Package syscall has those names, with numbers that the system
// never answers.
func elsewhere(err, target error) bool {
	errno, ok := err.(syscall.Errno)
	if !ok {
		return false
	}
	name, ok := winsockNames[errno]
	return ok && target == name
}

var winsockNames = map[syscall.Errno]error{
	windows.WSAEACCES: syscall.EACCES, windows.WSAEADDRINUSE: syscall.EADDRINUSE, windows.WSAEADDRNOTAVAIL: syscall.EADDRNOTAVAIL,
	windows.WSAEAFNOSUPPORT: syscall.EAFNOSUPPORT, windows.WSAECONNABORTED: syscall.ECONNABORTED, windows.WSAECONNREFUSED: syscall.ECONNREFUSED,
	windows.WSAECONNRESET: syscall.ECONNRESET, windows.WSAEDESTADDRREQ: syscall.EDESTADDRREQ, windows.WSAEHOSTUNREACH: syscall.EHOSTUNREACH,
	windows.WSAEINVAL: syscall.EINVAL, windows.WSAEISCONN: syscall.EISCONN, windows.WSAEMFILE: syscall.EMFILE, windows.WSAEMSGSIZE: syscall.EMSGSIZE,
	windows.WSAENETUNREACH: syscall.ENETUNREACH, windows.WSAENOBUFS: syscall.ENOBUFS, windows.WSAENOTCONN: syscall.ENOTCONN,
	windows.WSAENOTSOCK: syscall.ENOTSOCK, windows.WSAEOPNOTSUPP: syscall.EOPNOTSUPP, windows.WSAEPROTONOSUPPORT: syscall.EPROTONOSUPPORT,
	windows.WSAESHUTDOWN: syscall.EPIPE, windows.WSAETIMEDOUT: syscall.ETIMEDOUT, windows.WSAEWOULDBLOCK: syscall.EAGAIN,
}
