//go:build unix

package rnet

import (
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/ringport/ringport/internal/conntest"
)

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
