package conformance

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/ipc"
)

// TestHazard25Winio: go-winio's clients talk to ipc's servers, and ipc's clients to go-winio's servers, of bytes and of messages, to the end of each
// direction.
func TestHazard25Winio(t *testing.T) {
	for _, messages := range []bool{false, true} {
		for name, ends := range map[string]func(path string, messages bool) (server, client net.Conn, err error){
			"their client": theirClient, "their server": theirServer,
		} {
			t.Run(fmt.Sprint(name, ", messages ", messages), func(t *testing.T) {
				server, client, err := ends(fmt.Sprintf(`\\.\pipe\ringport-winio-%d`, pipeNumber.Add(1)), messages)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				defer server.Close()
				for _, way := range [][2]net.Conn{{server, client}, {client, server}} {
					from, to := way[0], way[1]
					if _, err := from.Write([]byte("hello")); err != nil {
						t.Fatal(err)
					}
					buf := make([]byte, 5)
					if _, err := io.ReadFull(to, buf); string(buf) != "hello" || err != nil {
						t.Fatalf("%q, %v", buf, err)
					}
					if !messages {
						continue
					}
					if err := from.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					if n, err := to.Read(buf); n != 0 || err != io.EOF {
						t.Fatalf("after CloseWrite: %d, %v", n, err)
					}
				}
				server.Close()
				if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after Close: %d, %v", n, err)
				}
			})
		}
	}
}

func theirClient(path string, messages bool) (server, client net.Conn, err error) {
	lc := ipc.ListenConfig{MessageMode: messages}
	l, err := lc.Listen(path)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if client, err = winio.DialPipe(path, nil); err != nil {
		return nil, nil, err
	}
	server, err = l.Accept()
	return server, client, err
}

func theirServer(path string, messages bool) (server, client net.Conn, err error) {
	l, err := winio.ListenPipe(path, &winio.PipeConfig{MessageMode: messages, InputBufferSize: 4096, OutputBufferSize: 4096}) // by default there is no room
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	// Wine connects a client to the listener's first instance, which holds the name and is nobody's to connect to. There this is that
	// client; Windows tells it that the pipe is busy.
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, nil, err
	}
	if first, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0); err == nil {
		defer windows.CloseHandle(first)
	}
	type accepted struct {
		c   net.Conn
		err error
	}
	ch := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		ch <- accepted{c, err}
	}()
	d := ipc.Dialer{Timeout: time.Minute}
	c, err := d.Dial(context.Background(), path)
	if err != nil {
		return nil, nil, err
	}
	a := <-ch
	return a.c, c, a.err
}
