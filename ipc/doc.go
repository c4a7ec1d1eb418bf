// Package ipc connects programs on one machine: by named pipes on Windows, by Unix sockets elsewhere, with one API.
//
//	l, err := ipc.Listen("example.agent")           // \\.\pipe\example.agent, or a socket in the user's own folder: see Path
//	…
//	c, err := l.Accept()                            // a net.Conn, an *ipc.Conn
//
//	c, err := ipc.Dial(ctx, "example.agent")
//
// What is safe is the default. Only the same user can connect (on Windows SYSTEM and administrators too), and only from this machine. A name
// that somebody has is not taken over, and nobody can slip in between: on Windows the first instance of a pipe must be the first, on Unix
// a listener holds a lock. A socket that a program left behind when it was killed is no obstacle. [Conn.Peer] tells who is at
// the other end, and [Dialer.ExpectedOwner] refuses others than the one who should be.
//
// Every wait ends with a context ([Conn.WithContext], [Listener.AcceptContext], [Dial]), with a deadline, and with Close, which always returns. Operations
// go through a manager of the caller's choice, by default ringport.Default; it must be a threaded one.
//
// Connections are streams of bytes. On Windows they may be of messages instead, see [ListenConfig]. What connections can do beside that is the
// same, with two exceptions that are refused with errors.ErrUnsupported: a stream of bytes on Windows can't be ended on one side
// (CloseWrite), and messages are Windows's alone.
//
// Errors are *net.OpError, with net.ErrClosed, os.ErrDeadlineExceeded, the context's error, or the system's in them. On every system, fs.ErrNotExist
// says that nobody listens, fs.ErrPermission that one may not connect, syscall.EPIPE that the peer of a write has gone; io.EOF comes
// bare. docs/migrating-from-go-winio.md has go-winio's names beside these.
package ipc
