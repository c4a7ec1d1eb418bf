package ipc

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/win32"
)

// clientAccess is what a client asks for: to read and write data and attributes, the mode of reading among them, and to see who the owner is. It is
// less than GENERIC_WRITE, which has the right to create instances in it, and would be refused where that is not granted.
const clientAccess = windows.FILE_GENERIC_READ | windows.FILE_WRITE_DATA | windows.FILE_WRITE_ATTRIBUTES

// checkOwner refuses what can't be a Peer's UserID, unless it is "": aliases that stand for a SID too.
func checkOwner(id string) error {
	if sid, err := windows.StringToSid(id); id != "" && (err != nil || sid.String() != id) {
		return &ringport.ConfigError{Field: "ExpectedOwner", Value: id, Reason: "a user's SID, as Uid of package os/user"}
	}
	return nil
}

// connect opens the pipe at path, waiting for an instance that listens.
func connect(ctx context.Context, m *ringport.Manager, path string) (*ringport.File, link, error) {
	path16, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, link{}, err
	}
	for {
		if ctx.Err() != nil {
			return nil, link{}, ctxend.Cause(ctx)
		}
		h, err := windows.CreateFile(path16, clientAccess, 0, nil, windows.OPEN_EXISTING,
			windows.FILE_FLAG_OVERLAPPED|windows.SECURITY_SQOS_PRESENT|windows.SECURITY_IDENTIFICATION, 0)
		switch err {
		case nil:
			return opened(m, h, path)
		case windows.ERROR_PIPE_BUSY:
			err = waitForInstance(ctx, m, path)
		}
		if err != nil {
			return nil, link{}, err
		}
	}
}

// opened makes a connection of h. A pipe of messages is read as such.
func opened(m *ringport.Manager, h windows.Handle, path string) (f *ringport.File, l link, err error) {
	var flags uint32
	err = windows.GetNamedPipeInfo(h, &flags, nil, nil, nil)
	messages := flags&windows.PIPE_TYPE_MESSAGE != 0
	if err == nil && messages {
		mode := uint32(windows.PIPE_READMODE_MESSAGE)
		err = windows.SetNamedPipeHandleState(h, &mode, nil, nil)
	}
	if err != nil { // the server has closed it already, or it is no pipe
		windows.CloseHandle(h)
		return nil, link{}, err
	}
	f, err = adopt(m, ringport.Handle(h), path)
	return f, newLink(false, messages), err
}

// instancePatience is how long an instance is waited for before the pipe is opened again. Nobody tells who waits that the last instance is gone as
// long as one of its clients keeps its end open.
const instancePatience = time.Second

// waitForInstance waits until an instance of the pipe listens, which another client may be quicker to connect to, or until it is time to try again
// for another reason. It is what WaitNamedPipe does, but can be ended. See FSCTL_PIPE_WAIT.
func waitForInstance(ctx context.Context, m *ringport.Manager, path string) error {
	root, name := splitPath(path)
	in, err := win32.PipeWait(name, instancePatience)
	if err != nil {
		return err
	}
	root16, err := windows.UTF16PtrFromString(root)
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(root16, windows.FILE_READ_ATTRIBUTES|windows.SYNCHRONIZE, win32.ShareAll, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		return err
	}
	defer func() { // it is no file, so that no File can be made of it
		shut := ringport.CloseHandle(ringport.Handle(h))
		if _, err := m.Do(context.Background(), &shut); err != nil { // the manager is closed
			windows.CloseHandle(h)
		}
	}()
	if err := m.Attach(ringport.Handle(h)); err != nil {
		return err
	}
	op := ringport.Overlapped("FSCTL_PIPE_WAIT", ringport.Handle(h), 0, func(ov *windows.Overlapped) ringport.Started {
		switch status := win32.FsControl(h, windows.FSCTL_PIPE_WAIT, in, nil, ov); {
		case status == windows.STATUS_PENDING:
			return ringport.Pending()
		case int32(status) < 0:
			return ringport.Failed(status.Errno())
		}
		return ringport.Done(0)
	})
	_, err = m.Do(ctx, op.Named(root))
	switch {
	case errors.Is(err, windows.ERROR_SEM_TIMEOUT), errors.Is(err, windows.ERROR_FILE_NOT_FOUND),
		errors.Is(err, windows.ERROR_HANDLES_CLOSED): // as Wine says that the pipe is gone
		return nil
	}
	return err
}
