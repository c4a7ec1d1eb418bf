package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"strconv"

	"github.com/ringport/ringport"
)

// ErrInUse says that there is a listener at the name already, or something that is no listener. On Windows it may be somebody who has taken
// the name in order to be taken for the server.
var ErrInUse = errors.New("name is in use")

// ListenConfig says how to listen. The zero value is right for most.
type ListenConfig struct {
	// Manager runs the operations; nil: ringport.Default. It must be a threaded one.
	Manager *ringport.Manager

	// Backlog is how many clients may have connected that Accept has not taken yet; more of them wait in Dial. On Windows that many
	// instances of the pipe wait; 0 means 8. On Unix see listen(2); 0 means as many as the system allows.
	Backlog int

	// InputBufferBytes and OutputBufferBytes are how much a connection may hold that the server has not read, and that the client has not.
	// 0 means 64 KiB on Windows, and what the system thinks best on Unix (SO_RCVBUF, SO_SNDBUF).
	InputBufferBytes, OutputBufferBytes int

	// MessageMode makes connections of messages instead of bytes, on Windows: see [Conn.Read] there. errors.ErrUnsupported elsewhere.
	MessageMode bool

	// Mode is who may connect on Unix, as permission to write the socket's file; 0 means 0600, the same user alone.
	Mode fs.FileMode

	// SecurityDescriptor is who may connect on Windows, in SDDL; "" means the same user, SYSTEM and administrators. Others are to be granted
	// 0x12019B: FILE_GENERIC_WRITE would let them be servers of this pipe.
	SecurityDescriptor string
}

// Listen listens at a name, see [Path], with the default [ListenConfig].
func Listen(name string) (*Listener, error) { return new(ListenConfig).Listen(name) }

// Listen listens at a name, see [Path]. ErrInUse; ringport.ErrInvalidAddress, ringport.ConfigError; the system's errors. On Unix there is a lock beside
// the socket's file as long as it listens, with ".lock" after the name, and a socket on which nobody listens is replaced; both files are gone
// after Close. See NtCreateNamedPipeFile, unix(7).
func (lc *ListenConfig) Listen(name string) (*Listener, error) {
	l, err := lc.listen(name)
	if err != nil {
		return nil, failed("listen", shown(name), err)
	}
	return l, nil
}

func (lc *ListenConfig) listen(name string) (*Listener, error) {
	if err := lc.check(); err != nil {
		return nil, err
	}
	path, err := ensurePath(name)
	if err != nil {
		return nil, err
	}
	m, err := managerOr(lc.Manager)
	if err != nil {
		return nil, err
	}
	l := &Listener{addr: Addr(path)}
	l.at.m, l.at.path, l.at.config = m, path, *lc
	return l, l.at.open()
}

// mostWaiting is the longest backlog. Old systems keep 16 bits of it, and all cut it to limits of their own.
const mostWaiting = 1<<16 - 1

func (lc *ListenConfig) check() error {
	for _, number := range []struct {
		field      string
		value, max int
	}{
		{"Backlog", lc.Backlog, mostWaiting},
		{"InputBufferBytes", lc.InputBufferBytes, math.MaxInt32},
		{"OutputBufferBytes", lc.OutputBufferBytes, math.MaxInt32},
	} {
		if number.value < 0 || number.value > number.max {
			return &ringport.ConfigError{Field: number.field, Value: strconv.Itoa(number.value), Reason: fmt.Sprintf("0 to %d", number.max)}
		}
	}
	if lc.Mode&^fs.ModePerm != 0 {
		return &ringport.ConfigError{Field: "Mode", Value: fmt.Sprintf("%#o", uint32(lc.Mode)), Reason: "permission bits alone"}
	}
	return nil
}

func managerOr(m *ringport.Manager) (*ringport.Manager, error) {
	if m != nil {
		return m, nil
	}
	return ringport.Default()
}

// Listener accepts connections. Its methods may be called from several goroutines at once. It must be closed when it is not needed any more.
type Listener struct {
	addr Addr
	at   endpoint // what the system has there
}

var _ net.Listener = (*Listener)(nil)

// Accept waits for a connection, which is a *[Conn]. One that its client has left already is as good as any: reading it gives io.EOF.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptContext(context.Background())
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptContext is Accept, which the end of ctx ends too. An error that is not net.ErrClosed or the context's, such as EMFILE, may pass:
// no client is lost, and the next call tries again.
func (l *Listener) AcceptContext(ctx context.Context) (*Conn, error) {
	f, err := l.at.accept(ctx)
	if err != nil {
		return nil, failed("accept", l.addr, err)
	}
	return &Conn{f, &end{l.addr, l.at.link()}}, nil
}

// Close ends all Accepts that wait, which fail with net.ErrClosed, and the listening, and frees the name. Connections that were accepted
// stay; those that were not are closed. On Windows the name is free when the connections that were accepted have ended too, at both ends: until
// then Listen fails with ErrInUse, and Dial waits. A second Close fails with net.ErrClosed.
func (l *Listener) Close() error {
	if err := l.at.close(); err != nil {
		return failed("close", l.addr, err)
	}
	return nil
}

// Addr is where the listener listens, an [Addr]. Dial takes it as a name.
func (l *Listener) Addr() net.Addr { return l.addr }
