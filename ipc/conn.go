package ipc

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/neterr"
)

// Addr is where a listener is: the path of a Unix socket, or a pipe's name with everything before it. Both ends of a connection have it as
// their address. Its Network is "unix" or "pipe".
type Addr string

// Network returns "unix", on Windows "pipe".
func (Addr) Network() string { return network }

// String returns the path.
func (a Addr) String() string { return string(a) }

// Conn is one end of a connection. Its methods may be called from several goroutines at once, and allocate nothing, unless it is an error.
type Conn struct {
	f *ringport.File
	*end
}

// end is what all views of a connection share.
type end struct {
	addr Addr
	link // what the system adds
}

var _ net.Conn = (*Conn)(nil)

// WithContext returns a view of the connection: the same one, whose calls end when ctx does, with an error that wraps both ctx.Err()
// and context.Cause(ctx). What was received until then is returned, and no byte is lost. Closing a view closes the connection.
func (c *Conn) WithContext(ctx context.Context) *Conn { return &Conn{c.f.WithContext(ctx), c.end} }

// Close ends what is in flight on the connection, which fails with net.ErrClosed unless data moved, waits for that, and closes it. What
// was written is still the peer's to read.
func (c *Conn) Close() error { return c.failed("close", c.f.Close()) }

// LocalAddr is the listener's address, an [Addr].
func (c *Conn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr is the listener's address, an [Addr].
func (c *Conn) RemoteAddr() net.Addr { return c.addr }

// SetDeadline sets the time at which reads and writes end, those that wait now and those that come later, with an error that matches
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Conn) SetDeadline(t time.Time) error { return c.failed("set", c.f.SetDeadline(t)) }

// SetReadDeadline is SetDeadline for reads only.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.failed("set", c.f.SetReadDeadline(t)) }

// SetWriteDeadline is SetDeadline for writes only.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.failed("set", c.f.SetWriteDeadline(t)) }

// Peer is who is at the other end of a connection, as the system knows it.
type Peer struct {
	// PID is the process, 0 where the system doesn't tell. It is what the process was when it connected or listened: by now the number may be
	// another's, so that it is good for a log and for nothing that is to be safe.
	PID int
	// UserID is the user as package os/user has it: a number on Unix, a SID on Windows. See [Conn.Peer].
	UserID string
	// GroupID is the user's primary group at that time, "" on Windows.
	GroupID string
}

// Peer asks who is at the other end.
//
// On Unix that is whoever connected, or on the client's side whoever listened, at the time when they did: the kernel noted it, and UserID and
// GroupID can be trusted. See SO_PEERCRED in unix(7), LOCAL_PEERCRED; errors.ErrUnsupported on systems that have neither.
//
// On Windows, on the server's side, UserID is the user as whom the client connected, and can be trusted (ImpersonateNamedPipeClient); a
// client that told the server nothing, as go-winio's clients don't unless they are asked to, is the anonymous user, S-1-5-7. Of a client of
// another kind the system may not know before something was read from it: ERROR_CANNOT_IMPERSONATE. On the client's side UserID is the owner of
// the pipe, whom the system does not let others pretend to be; that is whoever made its first instance, unless they wanted a group of
// theirs instead. PID is GetNamedPipeClientProcessId's or GetNamedPipeServerProcessId's.
func (c *Conn) Peer() (Peer, error) {
	var p Peer
	raw, err := c.f.SyscallConn()
	if err == nil {
		closed := raw.Control(func(fd uintptr) { p, err = c.peer(fd) })
		if closed != nil {
			err = closed
		}
	}
	if err != nil {
		return Peer{}, c.failed("peer", err)
	}
	return p, nil
}

// failed is err as an error of this connection. The end of a stream stays io.EOF.
func (c *Conn) failed(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return failed(op, c.addr, err)
}

func failed(op string, addr Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: addr, Err: explain(neterr.Cause(err))}
}

// adopt makes a File of a handle, which is closed if that fails.
func adopt(m *ringport.Manager, h ringport.Handle, path string) (*ringport.File, error) {
	f, err := m.NewFile(h, path)
	if err != nil {
		closeHandle(h) // the manager is closed, most likely, and runs no operation any more
	}
	return f, err
}
