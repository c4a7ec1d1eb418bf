package ipc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/win32"
)

const (
	defaultBacklog     = 8
	defaultBufferBytes = 64 << 10
)

// endpoint is a named pipe of which Backlog instances wait for clients. Those for which one has come are in ready. Each has one
// operation in flight or is in ready, so that Close knows how many to collect there, whoever else is doing what.
type endpoint struct {
	m        *ringport.Manager
	path     string
	config   ListenConfig
	security *windows.SECURITY_DESCRIPTOR

	ready chan *instance // has room for all
	done  chan struct{}  // closed with the listener

	mu     sync.Mutex // over what follows, and over making instances and letting them wait
	all    map[*instance]bool
	closed bool
}

// instance is an instance of the pipe, waiting for a client or in ready.
type instance struct {
	f       *ringport.File
	connect ringport.Op
	err     error // why there is no client
}

func (e *endpoint) link() link { return newLink(true, e.config.MessageMode) }

// open makes the instances. The first of them must find no pipe of that name, the others the first.
func (e *endpoint) open() (err error) {
	c := &e.config
	c.Backlog = cmp.Or(c.Backlog, defaultBacklog)
	c.InputBufferBytes = cmp.Or(c.InputBufferBytes, defaultBufferBytes)
	c.OutputBufferBytes = cmp.Or(c.OutputBufferBytes, defaultBufferBytes)
	if e.security, err = securityOf(c.SecurityDescriptor); err != nil {
		return err
	}
	e.ready, e.done, e.all = make(chan *instance, c.Backlog), make(chan struct{}), map[*instance]bool{}
	e.mu.Lock()
	for i := 0; i < c.Backlog && err == nil; i++ {
		err = e.add(i == 0)
	}
	e.mu.Unlock()
	if err != nil {
		e.close()
	}
	return err
}

// securityOf is a security descriptor as SDDL has it, or the one that is for the user, who owns it, SYSTEM and administrators. An owner is named
// since it would be the group of administrators, where the process is one's, and clients ask for the user.
func securityOf(sddl string) (*windows.SECURITY_DESCRIPTOR, error) {
	if sddl == "" {
		user, err := windows.GetCurrentProcessToken().GetTokenUser()
		if err != nil {
			return nil, err
		}
		sddl = fmt.Sprintf("O:%[1]sD:P(A;;GA;;;%[1]s)(A;;GA;;;SY)(A;;GA;;;BA)", user.User.Sid)
	}
	sd, err := windows.SecurityDescriptorFromString(sddl)
	if err != nil {
		return nil, &ringport.ConfigError{Field: "SecurityDescriptor", Value: sddl, Reason: "SDDL (" + err.Error() + ")"}
	}
	return sd, nil
}

// add makes an instance, and lets it wait. The caller holds e.mu.
func (e *endpoint) add(first bool) error {
	_, name := splitPath(e.path)
	made := win32.PipeInstance{Name: name, First: first, Security: e.security, Messages: e.config.MessageMode,
		InputBytes: uint32(e.config.InputBufferBytes), OutputBytes: uint32(e.config.OutputBufferBytes)}
	h, err := made.Make()
	switch {
	case err != nil && first && errors.Is(err, windows.ERROR_ACCESS_DENIED): // which is how the system says so
		return fmt.Errorf("%w: %w", ErrInUse, err)
	case err != nil:
		return err
	}
	f, err := adopt(e.m, ringport.Handle(h), e.path)
	if err != nil {
		return err
	}
	i := &instance{f: f}
	if err := e.wait(i); err != nil {
		f.Close()
		return err
	}
	e.all[i] = true
	return nil
}

// wait begins to wait for a client of i.
func (e *endpoint) wait(i *instance) error {
	i.connect = ringport.ConnectPipe(ringport.Handle(i.f.Fd()))
	return e.m.Start(i.connect.Named(e.path), func(op *ringport.Op) {
		_, i.err = op.Result()
		e.ready <- i
	})
}

// accept waits for a client.
func (e *endpoint) accept(ctx context.Context) (*ringport.File, error) {
	for {
		select {
		case <-e.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctxend.Cause(ctx)
		default:
		}
		select {
		case <-e.done:
		case <-ctx.Done():
		case i := <-e.ready:
			if f, err := e.take(i); f != nil || err != nil {
				return f, err
			}
		}
	}
}

// take hands i's client out, or says why there is none, nil if it has left again before it was noticed. Before the client's connection may end,
// and with it the pipe, another instance is made; if that can't be i waits for the next call.
func (e *endpoint) take(i *instance) (*ringport.File, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	why, err := i.err, error(net.ErrClosed)
	switch {
	case e.closed:
	case why == nil:
		if err = e.add(false); err == nil {
			delete(e.all, i)
			return i.f, nil
		}
	default:
		windows.DisconnectNamedPipe(windows.Handle(i.f.Fd()))
		if err = e.wait(i); err == nil {
			if errors.Is(why, windows.ERROR_NO_DATA) {
				why = nil
			}
			return nil, why
		}
	}
	e.ready <- i
	return nil, err
}

// close ends the waiting, collects the instances and closes them. A client that has come meanwhile is disconnected, so that it doesn't keep the
// name from being free.
func (e *endpoint) close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return net.ErrClosed
	}
	e.closed = true
	close(e.done)
	for i := range e.all {
		e.m.Cancel(&i.connect)
	}
	e.mu.Unlock()
	var errs []error
	for range e.all {
		f := (<-e.ready).f
		windows.DisconnectNamedPipe(windows.Handle(f.Fd()))
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
