// Package rnet has package net's connections on a ringport manager: Listen, Dial and ListenPacket for TCP, UDP and Unix sockets, with
// package net's names, results and errors, so that net/http, crypto/tls and whatever else takes a net.Conn or a net.Listener runs on
// them unchanged.
//
//	l, err := rnet.Listen("tcp", "127.0.0.1:0")
//	…
//	http.Serve(l, handler)
//
// What is different from package net: a [Conn] has views whose calls end with a context (WithContext), Close waits until the calls that
// it ends are over, and an unbound caller may choose the manager ([Dialer], [ListenConfig]), which must be a threaded one.
//
// Errors are *net.OpError, with package net's operations and sentinels in them: net.ErrClosed, os.ErrDeadlineExceeded, the context's
// errors, io.EOF bare, and the system's errors in an *os.SyscallError.
package rnet
