package ringport

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

func localAddress(h Handle, a *driver.Address) error {
	at, err := windows.Getsockname(windows.Handle(h))
	setAddress(a, at)
	return err
}

func remoteAddress(h Handle, a *driver.Address) error {
	at, err := windows.Getpeername(windows.Handle(h))
	setAddress(a, at)
	return err
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

func socketOption(h Handle, level, name int) (int, error) {
	return windows.GetsockoptInt(windows.Handle(h), level, name)
}

func setSocketOption(h Handle, level, name, value int) error {
	return windows.SetsockoptInt(windows.Handle(h), level, name, value)
}
