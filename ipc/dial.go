package ipc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringport/ringport"
)

// ErrOwner says that who listens is not who was expected, see [Dialer].
var ErrOwner = errors.New("unexpected owner")

// Dialer says how to connect. The zero value is right for most.
type Dialer struct {
	// Manager runs the operations; nil: ringport.Default. It must be a threaded one.
	Manager *ringport.Manager

	// Timeout is how long Dial may take; 0: as long as its context lets it.
	Timeout time.Duration

	// ExpectedOwner, if not "", is the user that must be listening, as package os/user writes its Uid: a number on Unix, a SID on Windows. If it
	// is another, who may only have been quicker to take the name, Dial fails with ErrOwner before it has sent anything. On Unix, what is no number,
	// such as a user's name, is a ringport.ConfigError, and nothing is connected to. See [Conn.Peer] for what the system knows.
	ExpectedOwner string
}

// Dial connects to who listens at a name, see [Path], with the default [Dialer].
func Dial(ctx context.Context, name string) (*Conn, error) { return new(Dialer).Dial(ctx, name) }

// Dial connects to who listens at a name, see [Path]. If the listener's backlog is full it waits, until ctx ends. If nobody listens it
// fails at once, with an error that matches fs.ErrNotExist; the error's address is the path that name stands for. ringport.ErrInvalidAddress,
// ringport.ConfigError; the system's errors. On Windows, what the client tells the server is who it is, and the server can't act in its
// name (SECURITY_IDENTIFICATION).
func (d *Dialer) Dial(ctx context.Context, name string) (*Conn, error) {
	c, err := d.dial(ctx, name)
	if err != nil {
		return nil, failed("dial", shown(name), err)
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, name string) (*Conn, error) {
	if err := checkOwner(d.ExpectedOwner); err != nil {
		return nil, err
	}
	path, err := checkedPath(name)
	if err != nil {
		return nil, err
	}
	m, err := managerOr(d.Manager)
	if err != nil {
		return nil, err
	}
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	f, l, err := connect(ctx, m, path)
	if err != nil {
		return nil, err
	}
	c := &Conn{f, &end{Addr(path), l}}
	if err := d.checkOwner(c); err != nil {
		f.Close()
		return nil, err
	}
	return c, nil
}

func (d *Dialer) checkOwner(c *Conn) error {
	if d.ExpectedOwner == "" {
		return nil
	}
	p, err := c.Peer()
	if err == nil && p.UserID != d.ExpectedOwner {
		err = fmt.Errorf("%w: %s, want %s", ErrOwner, p.UserID, d.ExpectedOwner)
	}
	return err
}
