package main

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"

	"github.com/ringport/ringport/rnet"
)

func init() {
	plays["udp"] = playUDP
}

// What peers/udp.c keeps in flight: few enough for the receive buffer of the server's socket, so that nothing is lost.
const (
	udpSockets = 16
	udpWindow  = 8
)

// udpRole is an echo server of datagrams of 64 bytes under load.
func udpRole(engine string) func(*environment) (figures, error) {
	return func(e *environment) (figures, error) {
		load, err := e.inC("udp", "", "the C library's headers")
		if err != nil {
			return figures{}, err
		}
		server, err := e.child(role{Name: "udp", Engine: engine})
		if err != nil {
			return figures{}, err
		}
		return underLoad(server, func(port string) (figures, error) {
			return parse(exec.CommandContext(e.ctx, load, port, strconv.Itoa(udpSockets), strconv.Itoa(udpWindow), "64", fmt.Sprint(e.seconds)))
		})
	}
}

// playUDP is a server with one goroutine.
func playUDP(r role) (figures, error) {
	const address = "127.0.0.1:0"
	if r.Engine == "net" {
		p, err := net.ListenPacket("udp", address)
		if err != nil {
			return figures{}, err
		}
		c := p.(*net.UDPConn)
		go echoMessages(c.ReadFromUDPAddrPort, c.WriteToUDPAddrPort)
		return figures{}, serveUntilInputEnds(c.LocalAddr(), c)
	}
	p, err := rnet.ListenPacket("udp", address)
	if err != nil {
		return figures{}, err
	}
	c := p.(*rnet.PacketConn)
	go echoMessages(c.ReadFromAddrPort, c.WriteToAddrPort)
	return figures{}, serveUntilInputEnds(c.LocalAddr(), c)
}

func echoMessages(read func([]byte) (int, netip.AddrPort, error), write func([]byte, netip.AddrPort) (int, error)) {
	for buf := make([]byte, 2048); ; {
		n, from, err := read(buf)
		if err != nil {
			return
		}
		if _, err := write(buf[:n], from); err != nil {
			return
		}
	}
}
