// Package rnet has package net's connections on a ringport manager: Listen, Dial and ListenPacket for TCP, UDP and Unix sockets, with
// package net's names, results and errors, so that net/http, crypto/tls and whatever else takes a net.Conn, a net.Listener or a
// net.PacketConn runs on them unchanged.
//
//	l, err := rnet.Listen("tcp", "127.0.0.1:8080")
//	…
//	http.Serve(l, handler)
//
// What package net does not have: a context ends what waits on a view of a connection ([Conn.WithContext], [PacketConn.WithContext]) or of a
// listener ([Listener.AcceptContext]); Close waits until the calls that it ends are over; and operations go through a manager of the
// caller's choice, a threaded one ([Dialer], [ListenConfig]), by default through ringport.Default.
//
// Errors are *net.OpError, with package net's operations and sentinels in them: net.ErrClosed, os.ErrDeadlineExceeded, the context's
// error, the system's errors in an *os.SyscallError, and io.EOF bare. One is new: of a manager that was closed they match
// ringport.ErrManagerClosed beside net.ErrClosed.
//
// There are two kinds of timeout, and Timeout of both is true. A context whose deadline has passed is context.DeadlineExceeded, and not
// os.ErrDeadlineExceeded: that is SetDeadline's alone, as in package net.
//
// For very many connections there are callbacks instead of goroutines: [ServeLoops].
package rnet
