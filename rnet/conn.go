package rnet

import (
	"context"
	"net"
	"syscall"

	"github.com/ringport/ringport"
)

// Conn is a connection of bytes, or of packets (unixpacket): TCP or Unix. Its methods may be called from several goroutines at once, and
// allocate nothing.
type Conn struct {
	socket
}

var (
	_ net.Conn     = (*Conn)(nil)
	_ syscall.Conn = (*Conn)(nil)
)

// WithContext returns a view of the connection: the same one, whose calls end when ctx does, with an error that wraps both ctx.Err()
// and context.Cause(ctx). What was received until then is returned, and no byte is lost. Closing a view closes the connection.
func (c *Conn) WithContext(ctx context.Context) *Conn {
	view := *c
	view.f = c.f.WithContext(ctx)
	return &view
}

// Read receives up to len(p) bytes, waiting for the first. When the peer has ended its side it returns 0, io.EOF. A connection that
// was reset is an error, ECONNRESET. See recv(2).
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	if err != nil {
		err = c.failed("read", err)
	}
	return n, err
}

// Write sends p, and returns fewer bytes than len(p) only with an error. The bytes of calls at the same time don't mix. See
// send(2).
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.f.Write(p)
	if err != nil {
		err = c.failed("write", err)
	}
	return n, err
}

// WriteBuffers sends the contents of *bufs, one buffer after the other, as one Write would, and takes what was sent out of them, as
// the WriteTo method of net.Buffers does. (That method knows package net's connections alone.) See sendmsg(2).
func (c *Conn) WriteBuffers(bufs *net.Buffers) (n int64, err error) {
	sent, err := c.f.Writev(*bufs)
	consume(bufs, sent)
	if err != nil {
		err = c.failed("write", err)
	}
	return int64(sent), err
}

// consume takes n bytes out of bufs.
func consume(bufs *net.Buffers, n int) {
	for len(*bufs) > 0 {
		first := &(*bufs)[0]
		if n < len(*first) {
			*first = (*first)[n:]
			return
		}
		n -= len(*first)
		*first = nil
		*bufs = (*bufs)[1:]
	}
}

// CloseRead ends the receiving side: reads get io.EOF. See shutdown(2).
func (c *Conn) CloseRead() error { return c.shutdown(ringport.ShutdownRead) }

// CloseWrite ends the sending side: the peer gets io.EOF when it has read what was sent. See shutdown(2).
func (c *Conn) CloseWrite() error { return c.shutdown(ringport.ShutdownWrite) }

func (c *Conn) shutdown(direction int) error {
	op := ringport.Shutdown(0, direction)
	_, err := c.f.Do(&op)
	return c.failed("close", err)
}
