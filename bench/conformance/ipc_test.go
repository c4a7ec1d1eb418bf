package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/ipc"
)

// TestIPC: connections of package ipc, Unix sockets or pipes, in each mode that there is.
func TestIPC(t *testing.T) {
	backends, modes := []string{ringport.BackendIOUring, ringport.BackendPool}, []bool{false}
	if runtime.GOOS == "windows" {
		backends, modes = []string{ringport.BackendIOCP}, []bool{false, true}
	}
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			m, err := ringport.New(ringport.Config{Backend: backend})
			var unavailable *ringport.UnavailableError
			if errors.As(err, &unavailable) {
				t.Skip("the library's own tests know whether it should be there: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, messages := range modes {
				t.Run(fmt.Sprint("messages ", messages), func(t *testing.T) {
					nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
						return ipcPipe(ipc.ListenConfig{Manager: m, MessageMode: messages})
					})
				})
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

var pipeNumber atomic.Int64

// ipcPipe makes the two ends of a connection.
func ipcPipe(lc ipc.ListenConfig) (c1, c2 net.Conn, stop func(), err error) {
	name := fmt.Sprintf("ringport-conformance-%d-%d", os.Getpid(), pipeNumber.Add(1))
	if runtime.GOOS != "windows" {
		dir, err := os.MkdirTemp("", "conn") // t.TempDir may be too long for a Unix socket
		if err != nil {
			return nil, nil, nil, err
		}
		defer os.RemoveAll(dir)
		name = filepath.Join(dir, "socket")
	}
	l, err := lc.Listen(name)
	if err != nil {
		return nil, nil, nil, err
	}
	defer l.Close()
	d := ipc.Dialer{Manager: lc.Manager}
	client, err := d.Dial(context.Background(), name) // there is room for it, accepted or not
	if err != nil {
		return nil, nil, nil, err
	}
	server, err := l.Accept()
	if err != nil {
		client.Close()
		return nil, nil, nil, err
	}
	return client, server, func() { client.Close(); server.Close() }, nil
}
