//go:build unix

package rnet

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/ringport/ringport/internal/conntest"
)

// TestListener_FullTable: with the descriptor table full, Accept says EMFILE, which is temporary; when there is room again, the connection
// that waited is accepted, and the listener goes on.
func TestListener_FullTable(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		l := listen(t, s, "tcp")
		client, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0) // as long as there is room
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(client)
		makeRoom := fillTable(t)
		defer makeRoom()
		if err := syscall.Connect(client, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: l.Addr().(*net.TCPAddr).Port}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c, err := l.Accept()
			var e net.Error
			//lint:ignore SA1019 net/http still asks, and what it is told must be what package net says
			if c != nil || !errors.Is(err, syscall.EMFILE) || !errors.As(err, &e) || !e.Temporary() || e.Timeout() {
				t.Fatalf("%v, %v", c, err)
			}
		}
		if err := dialError(s, context.Background(), "tcp", l.Addr().String()); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("dial: %v", err)
		}
		makeRoom()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("x"))
		if n, err := syscall.Read(client, make([]byte, 8)); n != 1 || err != nil {
			t.Errorf("the connection that waited: %d, %v", n, err)
		}
		again := conntest.Async(l.Accept)
		if err := dialError(s, context.Background(), "tcp", l.Addr().String()); err != nil {
			t.Error(err)
		}
		if c, err := again(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
	})
}

// fillTable opens descriptors until there is none left. The function that it returns closes them.
func fillTable(t *testing.T) (makeRoom func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	low := was
	low.Cur = 256
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var opened []int
	for {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		opened = append(opened, fd)
	}
	return func() {
		for _, fd := range opened {
			syscall.Close(fd)
		}
		opened = nil
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	}
}

// TestHTTP_FullTable: a server that runs out of descriptors goes on when there are some again.
func TestHTTP_FullTable(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		l := listen(t, s, "tcp")
		tried := make(chan error, 1)
		server := &http.Server{Handler: httpHandler(t), ErrorLog: log.New(logTo(func(text string) {
			select {
			case tried <- errors.New(text):
			default:
			}
		}), "", 0)}
		defer server.Close()
		go server.Serve(l)
		client, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0) // as long as there is room
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(client)
		conntest.InFlight(t, s.m, 1)
		makeRoom := fillTable(t)
		defer makeRoom()
		if err := syscall.Connect(client, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: l.Addr().(*net.TCPAddr).Port}); err != nil {
			t.Fatal(err)
		}
		if text := (<-tried).Error(); !strings.Contains(text, "too many open files") || !strings.Contains(text, "retrying") {
			t.Errorf("the server says %q", text)
		}
		makeRoom()
		syscall.Write(client, []byte("GET /hello HTTP/1.1\r\nHost: test\r\n\r\n"))
		buf := make([]byte, 100)
		if n, err := syscall.Read(client, buf); !strings.HasPrefix(string(buf[:max(n, 0)]), "HTTP/1.1 200") || err != nil {
			t.Errorf("and then: %q, %v", buf[:max(n, 0)], err)
		}
	})
}
