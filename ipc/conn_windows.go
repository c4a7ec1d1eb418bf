package ipc

import (
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/win32"
)

const network = "pipe"

// link is what a pipe's end adds to a connection.
type link struct {
	server   bool // it is an instance, and not what was opened
	messages bool
	state    *linkState
}

// linkState is of connections in message mode, whose CloseWrite is an empty message.
type linkState struct{ readEnded, writeEnded atomic.Bool }

func newLink(server, messages bool) link {
	l := link{server: server, messages: messages}
	if messages {
		l.state = new(linkState)
	}
	return l
}

// Read reads up to len(p) bytes, waiting for the first. When the peer has closed the connection, or ended its side of one in message mode, it
// returns 0, io.EOF. In message mode it reads bytes of one message, and what p has no room for is what the next Read gets: see [Conn.ReadMessage].
// See ReadFile.
func (c *Conn) Read(p []byte) (int, error) {
	n, _, err := c.read(p)
	return n, c.failed("read", err)
}

// ReadMessage is Read on a connection in message mode, and tells whether the message goes on after what p had room for; the next call gets
// that. On a connection of bytes the error is errors.ErrUnsupported. Only Windows has it.
func (c *Conn) ReadMessage(p []byte) (n int, more bool, err error) {
	if !c.messages {
		return 0, false, c.failed("read", errors.ErrUnsupported)
	}
	n, more, err = c.read(p)
	return n, more, c.failed("read", err)
}

func (c *Conn) read(p []byte) (n int, more bool, err error) {
	if c.messages && c.state.readEnded.Load() {
		if _, err = c.f.Read(nil); err == nil { // it is not closed
			err = io.EOF
		}
		return 0, false, err
	}
	n, err = c.f.Read(p)
	switch {
	case !c.messages || len(p) == 0:
	case err == nil && n == 0:
		c.state.readEnded.Store(true)
		return 0, false, io.EOF
	case err != nil && err != io.EOF && errors.Is(err, ringport.ErrMoreData):
		return n, true, nil
	}
	return n, false, err
}

// Write writes p, and returns fewer bytes than len(p) only with an error, which matches syscall.EPIPE if the peer has gone. The bytes of calls
// at the same time don't mix. In message mode p is one message; an empty one is not sent, since that is what CloseWrite sends. See WriteFile.
func (c *Conn) Write(p []byte) (int, error) {
	if c.messages && c.state.writeEnded.Load() {
		return 0, c.failed("write", syscall.EPIPE)
	}
	n, err := c.f.Write(p)
	return n, c.failed("write", err)
}

// CloseWrite ends the sending side of a connection in message mode: the peer gets io.EOF when it has read what was written. It sends an
// empty message, which go-winio's peers take for the end too. On a connection of bytes, which can't be ended on one side, the error
// is errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	if !c.messages {
		return c.failed("close", errors.ErrUnsupported)
	}
	if c.state.writeEnded.Swap(true) {
		_, err := c.f.Write(nil) // it may be closed
		return c.failed("close", err)
	}
	op := ringport.Write(0, nil, ringport.CurrentOffset)
	_, err := c.f.DoWrite(&op)
	if err != nil {
		c.state.writeEnded.Store(false)
	}
	return c.failed("close", err)
}

// Flush waits until the peer has read everything that was written. Only Windows has it. See FlushFileBuffers.
func (c *Conn) Flush() error { return c.failed("flush", c.f.Sync()) }

// Disconnect ends a connection at the server's side without waiting for anything: the client can't read any more what was written. Close, after
// which it can, is still to be called. Only Windows has it. See DisconnectNamedPipe.
func (c *Conn) Disconnect() error {
	op := ringport.DisconnectPipe(ringport.Handle(c.f.Fd()))
	_, err := c.f.Do(&op)
	return c.failed("disconnect", err)
}

// gone is the error of a write to a peer that isn't there any more. It matches syscall.EPIPE, as on other systems.
type gone struct{ error }

func (e gone) Unwrap() error        { return e.error }
func (e gone) Is(target error) bool { return target == syscall.EPIPE }

// explain makes err match what it means on every system.
func explain(err error) error {
	for _, errno := range []windows.Errno{windows.ERROR_NO_DATA, windows.ERROR_BROKEN_PIPE, windows.ERROR_PIPE_NOT_CONNECTED} {
		if errors.Is(err, errno) {
			return gone{err}
		}
	}
	return err
}

func (l link) peer(fd uintptr) (p Peer, err error) {
	pipe := windows.Handle(fd)
	ask, user := windows.GetNamedPipeServerProcessId, ownerOf
	if l.server {
		ask, user = windows.GetNamedPipeClientProcessId, clientOf
	}
	var pid uint32
	if err := ask(pipe, &pid); err != nil {
		return p, err
	}
	sid, err := user(pipe)
	if err != nil {
		return p, err
	}
	return Peer{PID: int(pid), UserID: sid.String()}, nil
}

// ownerOf is the owner of a pipe.
func ownerOf(pipe windows.Handle) (*windows.SID, error) {
	sd, err := windows.GetSecurityInfo(pipe, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return nil, err
	}
	owner, _, err := sd.Owner()
	return owner, err
}

// clientOf is the user as whom the client has connected. A thread takes the client's part for a moment to find out; if it could not give it up
// again it would be of no use to anybody, so it is one of its own, and ends then.
func clientOf(pipe windows.Handle) (sid *windows.SID, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = win32.ImpersonateNamedPipeClient(pipe); err != nil {
			runtime.UnlockOSThread()
			return
		}
		var token windows.Token
		err = windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
		if windows.RevertToSelf() == nil {
			runtime.UnlockOSThread()
		}
		if err == windows.ERROR_CANT_OPEN_ANONYMOUS {
			sid, err = windows.CreateWellKnownSid(windows.WinAnonymousSid)
			return
		}
		if err != nil {
			return
		}
		defer token.Close()
		var user *windows.Tokenuser
		if user, err = token.GetTokenUser(); err == nil {
			sid = user.User.Sid
		}
	}()
	<-done
	return sid, err
}

func closeHandle(h ringport.Handle) { windows.CloseHandle(windows.Handle(h)) }
