package rnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/conntest"
)

func packets(t testing.TB, s stack, network, address string) *PacketConn {
	t.Helper()
	c, err := s.listenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*PacketConn)
}

func dialPackets(t testing.TB, s stack, network, address string) *PacketConn {
	t.Helper()
	c, err := s.dial(context.Background(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*PacketConn)
}

func forPackets(t *testing.T, f func(t *testing.T, s stack, network string)) {
	forEach(t, func(t *testing.T, s stack) {
		for _, network := range packetNetworks {
			t.Run(network, func(t *testing.T) { f(t, s, network) })
		}
	})
}

// TestPacketConn_Messages: messages arrive as they were sent, empty ones too, with who sent them; what is too long is cut, which the
// flags say.
func TestPacketConn_Messages(t *testing.T) {
	forPackets(t, func(t *testing.T, s stack, network string) {
		a, b := packets(t, s, network, addressOf(t, network)), packets(t, s, network, addressOf(t, network))
		for _, text := range []string{"hello", "", "the longest of them all"} {
			if n, err := a.WriteTo([]byte(text), b.LocalAddr()); n != len(text) || err != nil {
				t.Fatalf("%q: %d, %v", text, n, err)
			}
			buf := make([]byte, 10)
			n, _, flags, from, err := b.ReadMsg(buf, nil)
			want := text[:min(len(text), len(buf))]
			if string(buf[:n]) != want || err != nil || fmt.Sprintf("%T %[1]v", from) != fmt.Sprintf("%T %[1]v", a.LocalAddr()) {
				t.Errorf("%q: %q from %v, %v", text, buf[:n], from, err)
			}
			if cut := flags&msgTrunc != 0; cut != (len(text) > len(buf)) {
				t.Errorf("%q: flags %x", text, flags)
			}
		}
	})
}

// TestPacketConn_Connected: what Dial has made talks to one peer.
func TestPacketConn_Connected(t *testing.T) {
	forPackets(t, func(t *testing.T, s stack, network string) {
		server := packets(t, s, network, addressOf(t, network))
		client := dialPackets(t, s, network, server.LocalAddr().String())
		for _, text := range []string{"one", ""} {
			if n, err := client.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatal(n, err)
			}
			buf := make([]byte, 10)
			n, from, err := server.ReadFrom(buf)
			if string(buf[:n]) != text || err != nil {
				t.Errorf("%q, %v", buf[:n], err)
			}
			if network == "unixgram" {
				if from != nil {
					t.Errorf("from %v, which has no name", from)
				}
				continue
			}
			if from.String() != client.LocalAddr().String() {
				t.Errorf("from %v, want %v", from, client.LocalAddr())
			}
			if _, err := server.WriteTo([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Read(buf); string(buf[:n]) != "answer" || err != nil {
				t.Errorf("%q, %v", buf[:n], err)
			}
		}
	})
}

// TestPacketConn_BothVersions: one socket for both versions of IP, as package net makes it.
func TestPacketConn_BothVersions(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		both := packets(t, s, "udp", ":0")
		port := netip.MustParseAddrPort(both.LocalAddr().String()).Port()
		for _, c := range []struct{ network, address, from string }{
			{"udp4", "127.0.0.1", "::ffff:127.0.0.1"}, {"udp6", "::1", "::1"},
		} {
			ip := netip.MustParseAddr(c.address)
			client := packets(t, s, c.network, netip.AddrPortFrom(ip, 0).String())
			if _, err := client.WriteToAddrPort([]byte("hello"), netip.AddrPortFrom(ip, port)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 10)
			n, from, err := both.ReadFromAddrPort(buf)
			if string(buf[:n]) != "hello" || err != nil || from.Addr().String() != c.from {
				t.Errorf("%s: %q from %v, %v", c.network, buf[:n], from, err)
			}
			for _, to := range []netip.AddrPort{from, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())} {
				if _, err := both.WriteToAddrPort([]byte("answer"), to); err != nil {
					t.Errorf("to %v: %v", to, err)
				}
				if n, err := client.Read(buf); string(buf[:n]) != "answer" || err != nil {
					t.Errorf("%s: %q, %v", c.network, buf[:n], err)
				}
			}
		}
		four := packets(t, s, "udp4", "127.0.0.1:0")
		var e *net.AddrError
		if _, err := four.WriteToAddrPort([]byte("x"), netip.AddrPortFrom(netip.IPv6Loopback(), 1)); !errors.As(err, &e) {
			t.Errorf("an IPv6 address for an IPv4 socket: %v", err)
		}
		for _, to := range []net.Addr{(*net.UDPAddr)(nil), &net.UnixAddr{Name: "x"}, &net.TCPAddr{}} {
			if _, err := four.WriteTo([]byte("x"), to); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("to %T: %v", to, err)
			}
		}
		if _, err := four.Write([]byte("x")); !errors.Is(err, errNoPeer) {
			t.Errorf("to nobody: %v", err)
		}
	})
}

// TestPacketConn_Ends: a context, a deadline and Close end who waits for a message.
func TestPacketConn_Ends(t *testing.T) {
	forPackets(t, func(t *testing.T, s stack, network string) {
		c := packets(t, s, network, addressOf(t, network))
		ctx, cancel := context.WithCancel(context.Background())
		for _, end := range []struct {
			c    *PacketConn
			end  func()
			want error
		}{
			{c.WithContext(ctx), cancel, context.Canceled},
			{c, func() { c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
			{c, func() { c.Close() }, net.ErrClosed},
		} {
			c.SetReadDeadline(time.Time{})
			waiting := conntest.Async(func() (int, error) {
				n, _, err := end.c.ReadFrom(make([]byte, 10))
				return n, err
			})
			conntest.InFlight(t, s.m, 1)
			end.end()
			var e *net.OpError
			if n, err := waiting(); n != 0 || !errors.Is(err, end.want) || !errors.As(err, &e) || e.Op != "read" {
				t.Errorf("%d, %v; want %v", n, err, end.want)
			}
		}
	})
}

// TestPacketConn_Together: messages of several goroutines come whole.
func TestPacketConn_Together(t *testing.T) {
	forPackets(t, func(t *testing.T, s stack, network string) {
		server := packets(t, s, network, addressOf(t, network))
		client := dialPackets(t, s, network, server.LocalAddr().String())
		const senders, messages = 4, 200
		var fs []func() error
		received := make(chan byte, senders*messages)
		for i := range senders {
			fs = append(fs, func() error {
				for range messages {
					if _, err := client.Write(bytes.Repeat([]byte{byte(i)}, 100+i)); err != nil {
						return err
					}
					<-received // a receive buffer that is full drops messages
				}
				return nil
			}, func() error {
				buf := make([]byte, 1000)
				for range messages {
					n, err := server.Read(buf)
					if err != nil {
						return err
					}
					if want := bytes.Repeat(buf[:1], 100+int(buf[0])); !bytes.Equal(buf[:n], want) {
						return fmt.Errorf("%d bytes of several messages", n)
					}
					received <- buf[0]
				}
				return nil
			})
		}
		conntest.Together(t, fs...)
	})
}

// TestPacketConn_NoAllocations: neither sending nor receiving needs memory.
func TestPacketConn_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	forEach(t, func(t *testing.T, s stack) {
		for _, network := range []string{"udp4", "udp6"} {
			server := packets(t, s, network, addressOf(t, network))
			client := dialPackets(t, s, network, server.LocalAddr().String())
			buf, oob := make([]byte, 64), make([]byte, 64)
			if n := testing.AllocsPerRun(200, func() {
				if _, err := client.Write(buf); err != nil {
					t.Fatal(err)
				}
				_, from, err := server.ReadFromAddrPort(buf)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := server.WriteToAddrPort(buf, from); err != nil {
					t.Fatal(err)
				}
				if _, _, _, _, err := client.ReadMsgAddrPort(buf, oob); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations", network, n)
			}
		}
	})
}
