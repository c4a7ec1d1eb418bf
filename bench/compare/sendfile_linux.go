package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/rnet"
)

func init() {
	plays["sendfile"] = playSendFile
}

// playSendFile: the data file, from the page cache, over a TCP connection again and again.
func playSendFile(r role) (figures, error) {
	file, err := os.Open(r.File)
	if err != nil {
		return figures{}, err
	}
	defer file.Close()
	if _, err := io.Copy(io.Discard, file); err != nil {
		return figures{}, err
	}
	listen := net.Listen
	if r.Engine == "rnet" {
		listen = rnet.Listen
	}
	l, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		return figures{}, err
	}
	defer l.Close()
	received := make(chan error, 1)
	go func() { received <- discardAll(l.Addr().(*net.TCPAddr).Port) }()
	c, err := l.Accept()
	if err != nil {
		return figures{}, err
	}
	f, err := r.together(1, func(_ int, stop *atomic.Bool) (n int64, err error) {
		defer c.Close()
		for !stop.Load() {
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return n, err
			}
			sent, err := io.Copy(c, file)
			if err == nil && sent != dataBytes {
				err = fmt.Errorf("%d bytes were sent", sent)
			}
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
	return f, errors.Join(err, <-received)
}

// discardAll connects, and has the kernel throw away what comes (MSG_TRUNC, see tcp(7)), so that the receiver is no part of what is compared.
func discardAll(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		return err
	}
	for buf := make([]byte, 1<<20); ; {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_TRUNC)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return err
		}
	}
}
