package driver

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// Address is a socket's address, as the system has it (struct sockaddr), so that requests can hand it over as it is. The zero Address
// is none.
type Address struct {
	Len uint32 // how much of Raw is used
	Raw [AddressBytes]byte
}

// AddressBytes is room for each kind of address that there is here: sockaddr_un is the longest.
const AddressBytes = 128

// The offsets of the fields in Raw.
const (
	familyBytes = 2 // sa_family, or sa_len and sa_family
	portAt      = 2
	ip4At       = 4
	ip4Len      = 16
	ip6At       = 8
	scopeAt     = 24
	ip6Len      = 28
)

// Family is AF_INET, AF_INET6, AF_UNIX or another; AF_UNSPEC of the zero Address.
func (a *Address) Family() int {
	switch {
	case a.Len < familyBytes:
		return syscall.AF_UNSPEC
	case hasLength:
		return int(a.Raw[1])
	}
	return int(binary.NativeEndian.Uint16(a.Raw[:]))
}

func (a *Address) begin(family, length int) {
	*a = Address{Len: uint32(length)}
	if hasLength {
		a.Raw[0], a.Raw[1] = byte(length), byte(family)
		return
	}
	binary.NativeEndian.PutUint16(a.Raw[:], uint16(family))
}

// SetIP makes a an IP address with a port: AF_INET of an IPv4 address, AF_INET6 of all others, the mapped ones included. A zone must be the
// number of an interface. It reports false, and leaves a alone, if ap is not valid or its zone no number.
func (a *Address) SetIP(ap netip.AddrPort) bool {
	ip, scope := ap.Addr(), uint64(0)
	if zone := ip.Zone(); zone != "" {
		var err error
		if scope, err = strconv.ParseUint(zone, 10, 32); err != nil {
			return false
		}
	}
	switch {
	case !ip.IsValid():
		return false
	case ip.Is4():
		a.begin(syscall.AF_INET, ip4Len)
		b := ip.As4()
		copy(a.Raw[ip4At:], b[:])
	default:
		a.begin(syscall.AF_INET6, ip6Len)
		b := ip.As16()
		copy(a.Raw[ip6At:], b[:])
		binary.NativeEndian.PutUint32(a.Raw[scopeAt:], uint32(scope))
	}
	binary.BigEndian.PutUint16(a.Raw[portAt:], ap.Port())
	return true
}

// IP returns the IP address and port; ok is false if a is none.
func (a *Address) IP() (ap netip.AddrPort, ok bool) {
	var ip netip.Addr
	switch family := a.Family(); {
	case family == syscall.AF_INET && a.Len >= ip4Len:
		ip = netip.AddrFrom4([4]byte(a.Raw[ip4At:]))
	case family == syscall.AF_INET6 && a.Len >= ip6Len:
		ip = netip.AddrFrom16([16]byte(a.Raw[ip6At:]))
		if scope := binary.NativeEndian.Uint32(a.Raw[scopeAt:]); scope != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(scope), 10))
		}
	default:
		return ap, false
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(a.Raw[portAt:])), true
}

// maxPath is the length of sun_path, with the zero that ends a path.
const maxPath = int(unsafe.Sizeof(syscall.RawSockaddrUnix{})) - familyBytes

// SetPath makes a the address of a Unix socket. "" is one without a name; a path that begins with "@" or a zero byte is in Linux's abstract
// name space. It reports false, and leaves a alone, if the path is too long for the system or has a zero byte in it.
func (a *Address) SetPath(path string) bool {
	abstract := path != "" && (path[0] == '@' || path[0] == 0) && hasAbstract
	if abstract {
		path = "\x00" + path[1:]
	}
	switch {
	case path == "":
		a.begin(syscall.AF_UNIX, familyBytes)
		return true
	case abstract && len(path) > maxPath, !abstract && (len(path) >= maxPath || strings.IndexByte(path, 0) >= 0):
		return false
	case abstract:
		a.begin(syscall.AF_UNIX, familyBytes+len(path))
	default:
		a.begin(syscall.AF_UNIX, familyBytes+len(path)+1)
	}
	copy(a.Raw[familyBytes:], path)
	return true
}

// Path returns the path of a Unix socket's address, with "@" for the zero byte that begins an abstract one, "" of a socket without a
// name; ok is false if a is the address of something else.
func (a *Address) Path() (path string, ok bool) {
	if a.Family() != syscall.AF_UNIX || a.Len > AddressBytes {
		return "", false
	}
	b := a.Raw[familyBytes:a.Len]
	switch {
	case len(b) == 0, b[0] == 0 && !hasAbstract:
		return "", true
	case b[0] == 0:
		return "@" + string(b[1:]), true
	}
	path, _, _ = strings.Cut(string(b), "\x00")
	return path, true
}
