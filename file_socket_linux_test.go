package ringport

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// drained makes the next read of f, with which all has been received, believe that nothing is there until an edge has told otherwise.
func drained(t *testing.T, f *File) {
	t.Helper()
	f.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := f.Read(make([]byte, 1)); n != 0 || !isDeadline(err) {
		t.Fatal(n, err)
	}
	f.SetReadDeadline(time.Now().Add(patience.Limit)) // so that a read that is not told fails
}

// TestFile_SocketEndStays: the end of a stream and what follows an error are there for each read, not only for the one that an edge told of it.
func TestFile_SocketEndStays(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		buf := make([]byte, 16)
		t.Run("end", func(t *testing.T) {
			a, b := fileConnection(t, m)
			drained(t, b)
			if err := syscall.Shutdown(int(a.h), syscall.SHUT_WR); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if n, err := b.Read(buf); n != 0 || err != io.EOF {
					t.Fatal(n, err)
				}
			}
		})
		t.Run("own end", func(t *testing.T) {
			_, b := fileConnection(t, m)
			drained(t, b)
			if err := syscall.Shutdown(int(b.h), syscall.SHUT_RD); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if n, err := b.Read(buf); n != 0 || err != io.EOF {
					t.Fatal(n, err)
				}
			}
		})
		t.Run("reset", func(t *testing.T) {
			a, b := fileConnection(t, m)
			drained(t, b)
			if err := syscall.SetsockoptLinger(int(a.h), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
				t.Fatal(err)
			}
			a.Close()
			if n, err := b.Read(buf); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(n, err)
			}
			if n, err := b.Read(buf); n != 0 || err != io.EOF { // what the system says from then on
				t.Fatal(n, err)
			}
		})
		t.Run("message behind an error", func(t *testing.T) {
			a, b := fileConnection(t, m)
			drained(t, b)
			f, peer := datagramFiles(t, m)
			drained(t, f)
			at, err := LocalAddress(peer.h)
			if err != nil {
				t.Fatal(err)
			}
			own, err := LocalAddress(f.h)
			if err != nil {
				t.Fatal(err)
			}
			peer.Close()
			if _, err := f.Write([]byte("to nobody")); err != nil { // an answer of ICMP comes before send(2) returns
				t.Fatal(err)
			}
			peer = datagramFile(t, m, at)
			if _, err := peer.Do(ptr(func(op *Op) { *op = Connect(0, own) })); err != nil {
				t.Fatal(err)
			}
			if _, err := peer.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			// What comes last at another socket tells that the edges of f have been told.
			if _, err := a.Write([]byte("y")); err != nil {
				t.Fatal(err)
			}
			if n, err := b.Read(buf); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if n, err := f.Read(buf); n != 0 || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatal(n, err)
			}
			if n, err := f.Read(buf); string(buf[:n]) != "x" || err != nil {
				t.Fatal(n, err)
			}
		})
	})
}

// datagramFile is a UDP socket bound to at.
func datagramFile(t *testing.T, m *Manager, at SocketAddress) *File {
	t.Helper()
	f := socketFile(t, m, syscall.AF_INET, syscall.SOCK_DGRAM)
	if _, err := f.Do(ptr(func(op *Op) { *op = Bind(0, at) })); err != nil {
		t.Fatal(err)
	}
	return f
}

// datagramFiles is a pair of UDP sockets that are connected to each other.
func datagramFiles(t *testing.T, m *Manager) (a, b *File) {
	t.Helper()
	a, b = datagramFile(t, m, loopback(t)), datagramFile(t, m, loopback(t))
	for f, to := range map[*File]*File{a: b, b: a} {
		at, err := LocalAddress(to.h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Do(ptr(func(op *Op) { *op = Connect(0, at) })); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func loopback(t *testing.T) SocketAddress {
	t.Helper()
	at, err := IPAddress(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestFile_SocketIsCounted: a read is one operation, in flight while it waits, whichever way it goes.
func TestFile_SocketIsCounted(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		a, b := fileConnection(t, m)
		read := func(what string, end func(), canceled, failed int64) {
			t.Helper()
			b.report()
			before := m.Stats()
			whileInFlight(m, end)
			b.Read(make([]byte, 1))
			b.report()
			after := m.Stats()
			if after.Completed-before.Completed != 1 || after.Canceled-before.Canceled != canceled || after.Failed-before.Failed != failed || after.InFlight != 0 {
				t.Errorf("%s: %+v, and before %+v", what, after, before)
			}
		}
		read("data", func() { syscall.Write(int(a.h), []byte("x")) }, 0, 0)
		read("deadline", func() { b.SetReadDeadline(soon) }, 1, 0)
		b.SetReadDeadline(time.Time{})
		if err := syscall.SetsockoptLinger(int(a.h), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
			t.Fatal(err)
		}
		read("reset", func() { syscall.Shutdown(int(a.h), syscall.SHUT_RD); a.Close() }, 0, 1)
	})
}
