package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/ipc"
)

func init() {
	plays["overlapped"] = playOverlapped
	plays["pipe"], plays["pipe-pingpong"], plays["pipe-stream"] = playPingPong, playPingPong, playStream
}

// playOverlapped: 4 KiB reads by r.Depth goroutines with blocking calls, always of the first block, since go-winio knows no other.
func playOverlapped(r role) (figures, error) {
	const name = "block"
	if err := os.WriteFile(name, make([]byte, blockBytes), 0o600); err != nil {
		return figures{}, err
	}
	defer os.Remove(name)
	h, err := openOverlapped(name, windows.GENERIC_READ)
	if err != nil {
		return figures{}, err
	}
	var read func(p []byte) (int, error)
	if r.Engine == "ringport" {
		m, err := ringport.New(ringport.Config{})
		if err != nil {
			return figures{}, err
		}
		defer m.Close()
		f, err := m.NewFile(ringport.Handle(h), name)
		if err != nil {
			return figures{}, err
		}
		defer f.Close()
		read = func(p []byte) (int, error) { return f.ReadAt(p, 0) }
	} else {
		f, err := winio.NewOpenFile(h)
		if err != nil {
			return figures{}, err
		}
		defer f.Close()
		read = f.Read
	}
	return r.warmTogether(r.Depth, func(i int, stop *atomic.Bool) (n int64, err error) {
		buf := make([]byte, blockBytes)
		for !stop.Load() {
			if got, err := read(buf); err != nil || got != len(buf) {
				return n, fmt.Errorf("read %d bytes: %v", got, err)
			}
			n++
		}
		return n, nil
	})
}

// warmTogether is together after a while of the same, so that what is made once is not counted.
func (r role) warmTogether(n int, f func(i int, stop *atomic.Bool) (int64, error)) (figures, error) {
	warm := r
	warm.Seconds /= 10
	if _, err := warm.together(n, f); err != nil {
		return figures{}, err
	}
	return r.together(n, f)
}

// messageBytes is what goes to and fro.
const messageBytes = 64

// pipeEnds makes a pipe of go-winio's or ours: of package ipc, but for the role that wants it of nothing but File.
func (r role) pipeEnds() (server, client io.ReadWriteCloser, end func(), err error) {
	path := fmt.Sprintf(`\\.\pipe\ringport-compare-%d`, os.Getpid())
	switch {
	case r.Engine != "ringport":
		return theirPipe(path)
	case r.Name == "pipe":
		return ourPipe(path)
	}
	return ipcPipe(path)
}

// playStream: 64 KiB at a time through a named pipe, from one goroutine to another.
func playStream(r role) (figures, error) {
	server, client, end, err := r.pipeEnds()
	if err != nil {
		return figures{}, err
	}
	defer end()
	received := make(chan error, 1)
	go func() {
		err := drain(server)
		received <- errors.Join(err, server.Close()) // if it is an error, the client is not to write any more
	}()
	f, err := r.warmTogether(1, func(_ int, stop *atomic.Bool) (n int64, err error) {
		buf := make([]byte, pipeBytes)
		for !stop.Load() {
			if _, err := client.Write(buf); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
	return f, errors.Join(err, client.Close(), <-received)
}

// drain reads until the other end has gone.
func drain(pipe io.Reader) error {
	buf := make([]byte, pipeBytes)
	for {
		if _, err := pipe.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// playPingPong: a message through a named pipe and back, between two goroutines.
func playPingPong(r role) (figures, error) {
	server, client, end, err := r.pipeEnds()
	if err != nil {
		return figures{}, err
	}
	defer end()
	echoed := make(chan error, 1)
	go func() {
		err := echo(server)
		echoed <- errors.Join(err, server.Close()) // if it is an error, the client is not to wait for more
	}()
	f, err := r.warmTogether(1, func(_ int, stop *atomic.Bool) (n int64, err error) {
		buf := make([]byte, messageBytes)
		for !stop.Load() {
			if _, err := client.Write(buf); err != nil {
				return n, err
			}
			if _, err := io.ReadFull(client, buf); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
	return f, errors.Join(err, client.Close(), <-echoed)
}

// echo answers until the other end has gone.
func echo(pipe io.ReadWriter) error {
	buf := make([]byte, messageBytes)
	for {
		if _, err := io.ReadFull(pipe, buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := pipe.Write(buf); err != nil {
			return err
		}
	}
}

// pipeBytes is each pipe's quota in either direction.
const pipeBytes = 64 << 10

// theirPipe is a connection of go-winio's listener.
func theirPipe(path string) (server, client io.ReadWriteCloser, end func(), err error) {
	l, err := winio.ListenPipe(path, &winio.PipeConfig{InputBufferSize: pipeBytes, OutputBufferSize: pipeBytes})
	if err != nil {
		return nil, nil, nil, err
	}
	// Wine connects a client to the listener's first instance, which holds the name and is nobody's to connect to. There this is that
	// client; Windows tells it that the pipe is busy.
	if first, err := openOverlapped(path, windows.GENERIC_READ); err == nil {
		defer windows.CloseHandle(first)
	}
	dialed := make(chan error, 1)
	go func() {
		patience := time.Minute
		var err error
		client, err = winio.DialPipe(path, &patience)
		dialed <- err
	}()
	server, err = l.Accept()
	if err := errors.Join(err, <-dialed); err != nil {
		return nil, nil, nil, err
	}
	return server, client, func() { l.Close() }, nil
}

// ipcPipe is a connection of package ipc's listener.
func ipcPipe(path string) (server, client io.ReadWriteCloser, end func(), err error) {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return nil, nil, nil, err
	}
	lc, d := ipc.ListenConfig{Manager: m}, ipc.Dialer{Manager: m}
	l, err := lc.Listen(path)
	if err != nil {
		return nil, nil, nil, err
	}
	if client, err = d.Dial(context.Background(), path); err != nil {
		return nil, nil, nil, err
	}
	if server, err = l.Accept(); err != nil {
		return nil, nil, nil, err
	}
	return server, client, func() { l.Close(); m.Close() }, nil
}

// ourPipe is a pipe of the same kind.
func ourPipe(path string) (server, client io.ReadWriteCloser, end func(), err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, nil, nil, err
	}
	const mode = windows.PIPE_ACCESS_DUPLEX | windows.FILE_FLAG_OVERLAPPED | windows.FILE_FLAG_FIRST_PIPE_INSTANCE
	s, err := windows.CreateNamedPipe(name, mode, windows.PIPE_TYPE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS, 1, pipeBytes, pipeBytes, 0, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := openOverlapped(path, windows.GENERIC_READ|windows.GENERIC_WRITE)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return nil, nil, nil, err
	}
	if server, err = m.NewFile(ringport.Handle(s), path); err != nil {
		return nil, nil, nil, err
	}
	if client, err = m.NewFile(ringport.Handle(c), path); err != nil {
		return nil, nil, nil, err
	}
	return server, client, func() { m.Close() }, nil
}

func openOverlapped(name string, access uint32) (windows.Handle, error) {
	name16, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(name16, access, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
}
