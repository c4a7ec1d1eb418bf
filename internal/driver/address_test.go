package driver

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func TestAddress_IP(t *testing.T) {
	for _, text := range []string{"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0", "[fe80::1%7]:443", "[::ffff:10.0.0.1]:1"} {
		want := netip.MustParseAddrPort(text)
		var a Address
		if !a.SetIP(want) {
			t.Errorf("%s: refused", text)
		}
		if got, ok := a.IP(); !ok || got != want {
			t.Errorf("%s: became %v, %v", text, got, ok)
		}
		if _, ok := a.Path(); ok {
			t.Errorf("%s is a path", text)
		}
		if family := a.Family(); (family == syscall.AF_INET) != want.Addr().Is4() || family != syscall.AF_INET && family != syscall.AF_INET6 {
			t.Errorf("%s: family %d", text, family)
		}
	}
	for _, bad := range []netip.AddrPort{{}, netip.MustParseAddrPort("[fe80::1%lo]:1")} {
		a := Address{Len: 5}
		if a.SetIP(bad) || a != (Address{Len: 5}) {
			t.Errorf("%v: %v", bad, a)
		}
	}
	if _, ok := new(Address).IP(); ok {
		t.Error("none is an IP address")
	}
}

func TestAddress_Path(t *testing.T) {
	longest := strings.Repeat("x", maxPath-1)
	for _, path := range []string{"", "/tmp/socket", "relative", longest} {
		var a Address
		if !a.SetPath(path) {
			t.Errorf("%q: refused", path)
		}
		if got, ok := a.Path(); !ok || got != path {
			t.Errorf("%q: became %q, %v", path, got, ok)
		}
		if _, ok := a.IP(); ok {
			t.Errorf("%q is an IP address", path)
		}
	}
	for _, bad := range []string{longest + "x", "/a\x00b"} {
		a := Address{Len: 5}
		if a.SetPath(bad) || a != (Address{Len: 5}) {
			t.Errorf("%q: %v", bad, a)
		}
	}
	if !hasAbstract {
		return
	}
	for _, path := range []string{"@name", "@", "@" + longest} {
		var a Address
		if !a.SetPath(path) || a.Raw[familyBytes] != 0 {
			t.Errorf("%q: refused, or not abstract", path)
		}
		if got, ok := a.Path(); !ok || got != path {
			t.Errorf("%q: became %q, %v", path, got, ok)
		}
	}
}
