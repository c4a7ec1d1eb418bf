package drivertest

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// What the system answers, by what it means.
const (
	errReset        = windows.WSAECONNRESET
	errRefused      = windows.WSAECONNREFUSED
	errNoFamily     = windows.WSAEAFNOSUPPORT
	errInvalid      = windows.WSAEINVAL
	errInUse        = windows.WSAEADDRINUSE
	errBadSocket    = windows.ERROR_INVALID_HANDLE
	errNotSocket    = windows.WSAENOTSOCK
	errNotConnected = windows.WSAENOTCONN
	errWouldWait    = windows.WSAEWOULDBLOCK
	errNoUnixSocket = windows.WSAECONNREFUSED
)

const (
	msgWaitAll = windows.MSG_WAITALL
	msgTrunc   = windows.MSG_TRUNC
)

// hasUnixSockets: Wine has none. See docs/semantics.md.
var hasUnixSockets = !win32.UnderWine()

func localAddress(f *fixture, h driver.Handle) (a driver.Address) {
	f.Helper()
	at, err := windows.Getsockname(windows.Handle(h))
	if err != nil {
		f.Fatal(err)
	}
	switch at := at.(type) {
	case *windows.SockaddrInet4:
		a.SetIP(netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)))
	case *windows.SockaddrInet6:
		ip := netip.AddrFrom16(at.Addr)
		if at.ZoneId != 0 {
			ip = ip.WithZone(strconv.Itoa(int(at.ZoneId)))
		}
		a.SetIP(netip.AddrPortFrom(ip, uint16(at.Port)))
	case *windows.SockaddrUnix:
		a.SetPath(at.Name)
	}
	return a
}

// lingerZero makes the next close a reset.
func lingerZero(f *fixture, h driver.Handle) {
	f.Helper()
	if err := windows.SetsockoptLinger(windows.Handle(h), windows.SOL_SOCKET, windows.SO_LINGER, &windows.Linger{Onoff: 1}); err != nil {
		f.Fatal(err)
	}
}

// controlMessages: the address that a datagram was sent to comes with it, if that is asked for.
func controlMessages(f *fixture) {
	const ipPktinfo = 19
	at := ipAddress("127.0.0.1:0")
	a, b := f.socket(syscall.AF_INET, syscall.SOCK_DGRAM), f.socket(syscall.AF_INET, syscall.SOCK_DGRAM)
	for _, h := range []driver.Handle{a, b} {
		f.must(&driver.Request{Kind: driver.Bind, FD: h, Ext: &driver.Ext{Address: &at}}, 0)
	}
	from, to := localAddress(f, a), localAddress(f, b)
	if err := windows.SetsockoptInt(windows.Handle(b), windows.IPPROTO_IP, ipPktinfo, 1); err != nil {
		f.Fatal(err)
	}
	// WSACMSGHDR (its length, level and type), then IN_PKTINFO.
	const header, size = unsafe.Sizeof(uintptr(0)) + 8, 32
	for _, content := range []string{"x", "longer than the buffer"} {
		in := message(driver.RecvMsg, b, driver.Message{Control: make([]byte, 64), Address: new(driver.Address)}, 8)
		f.start(in)
		f.stay(in)
		out := message(driver.SendMsg, a, driver.Message{Address: &to})
		out.Ext.Vec = [][]byte{[]byte(content)}
		f.must(out, len(content))
		m := in.Ext.Message
		if f.await(in); in.N != min(len(content), 8) || in.Err != nil || *m.Address != from || m.ControlBytes < size-8 || m.ControlBytes > size {
			f.Fatalf("%d, %v, from %v, %d bytes", in.N, in.Err, *m.Address, m.ControlBytes)
		}
		if cut := m.Flags&msgTrunc != 0; cut != (len(content) > 8) {
			f.Errorf("%q: flags %#x", content, m.Flags)
		}
		level, kind := binary.NativeEndian.Uint32(m.Control[header-8:]), binary.NativeEndian.Uint32(m.Control[header-4:])
		if want := [4]byte{127, 0, 0, 1}; level != windows.IPPROTO_IP || kind != ipPktinfo || [4]byte(m.Control[header:]) != want {
			f.Errorf("% x", m.Control[:m.ControlBytes])
		}
	}
	in := message(driver.RecvMsg, b, driver.Message{Control: make([]byte, 4)}, 8) // no room for it
	f.start(in)
	out := message(driver.SendMsg, a, driver.Message{Address: &to}, 1)
	f.must(out, 1)
	if f.await(in); in.N != 1 || in.Err != nil || in.Ext.Message.Flags&windows.MSG_CTRUNC == 0 {
		f.Errorf("%d, %v, flags %#x", in.N, in.Err, in.Ext.Message.Flags)
	}
}

var procIoctlsocket = windows.NewLazySystemDLL("ws2_32.dll").NewProc("ioctlsocket")

// setNonblock sets the mode of calls that are not overlapped.
func setNonblock(f *fixture, h driver.Handle, on bool) {
	f.Helper()
	const fionbio = 0x8004667e
	mode := uint32(0)
	if on {
		mode = 1
	}
	if failed, _, err := syscall.SyscallN(procIoctlsocket.Addr(), uintptr(h), fionbio, uintptr(unsafe.Pointer(&mode))); failed != 0 {
		f.Fatal(err)
	}
}
