package rnet

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

// netAddr is a as package net has it, by the network that it belongs to.
func netAddr(network string, a ringport.SocketAddress) net.Addr {
	if path, ok := a.Path(); ok {
		return &net.UnixAddr{Name: unixName(path), Net: network}
	}
	ap, ok := a.AddrPort()
	if !ok {
		return nil
	}
	ap = named(ap)
	switch network {
	case "udp", "udp4", "udp6":
		return net.UDPAddrFromAddrPort(ap)
	}
	return net.TCPAddrFromAddrPort(ap)
}

// unixName is the name of a Unix socket at path. Package net calls one without a name "@" on Linux, and so do we.
func unixName(path string) string {
	if path == "" && runtime.GOOS == "linux" {
		return "@"
	}
	return path
}

// socketAddress is ap for the system, which knows zones by number.
func socketAddress(ap netip.AddrPort) (ringport.SocketAddress, error) {
	return ringport.IPAddress(numbered(ap))
}

// numbered is ap with the zone's number.
func numbered(ap netip.AddrPort) netip.AddrPort {
	if zone := ap.Addr().Zone(); zone != "" {
		return netip.AddrPortFrom(ap.Addr().WithZone(zoneNumber(zone)), ap.Port())
	}
	return ap
}

// named is ap with the zone's name where the system has said its number.
func named(ap netip.AddrPort) netip.AddrPort {
	zone := ap.Addr().Zone()
	if zone == "" {
		return ap
	}
	return netip.AddrPortFrom(ap.Addr().WithZone(zoneName(zone)), ap.Port())
}

// zones are the interfaces by number and by name. Asking the system takes several calls, which is too much for each datagram.
type zones struct {
	read   time.Time
	names  map[string]string
	number map[string]string
}

const zonesKept = time.Minute

var knownZones atomic.Pointer[zones]

// lookZone looks key up in one of the maps of zones, which are read anew if they are old, or if key is not there.
func lookZone(key string, of func(*zones) map[string]string) string {
	if z := knownZones.Load(); z != nil && time.Since(z.read) < zonesKept {
		if found, ok := of(z)[key]; ok {
			return found
		}
	}
	z := &zones{read: time.Now(), names: map[string]string{}, number: map[string]string{}}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		number := strconv.Itoa(i.Index)
		z.names[number], z.number[i.Name] = i.Name, number
	}
	knownZones.Store(z)
	if found, ok := of(z)[key]; ok {
		return found
	}
	return key // a number that nobody has, or a name: said as it is
}

func zoneName(number string) string {
	return lookZone(number, func(z *zones) map[string]string { return z.names })
}

func zoneNumber(name string) string {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return name
	}
	return lookZone(name, func(z *zones) map[string]string { return z.number })
}

// isUnix reports whether a network is one of Unix sockets, isIP whether it is TCP or UDP.
func isUnix(network string) bool {
	return network == "unix" || network == "unixgram" || network == "unixpacket"
}

func isIP(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
		return true
	}
	return false
}

// resolve returns the IP addresses of address that a network allows, in the resolver's order, an IPv4 address never in IPv6's form. Without
// a host it is none: all addresses of this machine.
func resolve(ctx context.Context, r *net.Resolver, network, address string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := r.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	wanted := func(ip netip.Addr) bool { return true }
	unspecified := netip.IPv4Unspecified()
	switch network[len(network)-1] {
	case '4':
		wanted = netip.Addr.Is4
	case '6':
		wanted = netip.Addr.Is6
		unspecified = netip.IPv6Unspecified()
	}
	if host == "" {
		return []netip.AddrPort{netip.AddrPortFrom(unspecified, uint16(port))}, nil
	}
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var found []netip.AddrPort
	for _, ip := range ips {
		if ip = ip.Unmap(); wanted(ip) {
			found = append(found, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if found == nil {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return found, nil
}

// toLocal is ap, or this very machine if ap is no machine's address. Linux would take it so by itself, others refuse to connect to it.
func toLocal(ap netip.AddrPort) netip.AddrPort {
	switch ap.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), ap.Port())
	}
	return ap
}

// ipOf is the IP address that a net.Addr says; ok is false if it is no such address.
func ipOf(a net.Addr) (ap netip.AddrPort, ok bool) {
	switch a := a.(type) {
	case *net.TCPAddr:
		if a == nil {
			return ap, false
		}
		ap = a.AddrPort()
	case *net.UDPAddr:
		if a == nil {
			return ap, false
		}
		ap = a.AddrPort()
	default:
		return ap, false
	}
	ip := ap.Addr().Unmap()
	if !ip.IsValid() {
		ip = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(ip, ap.Port()), true
}

// fits is ap in the form that sockets of a family take; ok is false if they can't reach it.
func fits(ap netip.AddrPort, family int) (fit netip.AddrPort, ok bool) {
	ip := ap.Addr()
	switch {
	case family == syscall.AF_INET6 && ip.Is4():
		return netip.AddrPortFrom(netip.AddrFrom16(ip.As16()), ap.Port()), true
	case family == syscall.AF_INET && ip.Is4In6():
		return netip.AddrPortFrom(ip.Unmap(), ap.Port()), true
	}
	return ap, ip.IsValid() && (family == syscall.AF_INET6 || ip.Is4())
}

// netAddrOf is a resolved address as package net has it.
func netAddrOf(network string, ap netip.AddrPort) net.Addr {
	if kindOf(network) == syscall.SOCK_DGRAM {
		return net.UDPAddrFromAddrPort(ap)
	}
	return net.TCPAddrFromAddrPort(ap)
}
