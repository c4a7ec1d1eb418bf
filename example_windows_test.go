package ringport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
)

const examplePipe = `\\.\pipe\ringport-example`

// listen makes an instance of the pipe, of messages, and has the manager take it.
func listen(m *ringport.Manager) (*ringport.File, error) {
	name, err := windows.UTF16PtrFromString(examplePipe)
	if err != nil {
		return nil, err
	}
	const mode = windows.PIPE_TYPE_MESSAGE | windows.PIPE_READMODE_MESSAGE | windows.PIPE_REJECT_REMOTE_CLIENTS
	h, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED, mode, 1, 4096, 4096, 0, nil)
	if err != nil {
		return nil, err
	}
	f, err := m.NewFile(ringport.Handle(h), examplePipe)
	if err != nil {
		windows.CloseHandle(h)
	}
	return f, err
}

// serve answers each client in turn with its messages in upper case, until ctx ends.
func serve(ctx context.Context, m *ringport.Manager, f *ringport.File) error {
	h := ringport.Handle(f.Fd())
	connect, disconnect := ringport.ConnectPipe(h), ringport.DisconnectPipe(h)
	buf := make([]byte, 100)
	for {
		_, err := m.Do(ctx, &connect)
		for err == nil {
			var n int
			if n, err = f.WithContext(ctx).Read(buf); err == nil {
				_, err = f.WithContext(ctx).Write([]byte(strings.ToUpper(string(buf[:n]))))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// The client has closed its end: io.EOF, or ERROR_NO_DATA if it had left before it was noticed.
		if _, err := m.Do(ctx, &disconnect); err != nil {
			return err
		}
	}
}

// A server of a named pipe, and a client. Every wait ends when its context does: for a client, for a message, for an answer.
func ExampleConnectPipe() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	f, err := listen(m)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- serve(ctx, m, f) }()

	name, _ := windows.UTF16PtrFromString(examplePipe)
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		log.Fatal(err)
	}
	mode := uint32(windows.PIPE_READMODE_MESSAGE)
	if err := windows.SetNamedPipeHandleState(h, &mode, nil, nil); err != nil {
		log.Fatal(err)
	}
	client, err := m.NewFile(ringport.Handle(h), "client")
	if err != nil {
		log.Fatal(err)
	}

	// Write a message and read its answer in one call. The answer is longer than the buffer.
	answer := make([]byte, 5)
	call := ringport.TransactPipe(ringport.Handle(h), []byte("hello, pipe"), answer)
	n, err := m.Do(ctx, &call)
	fmt.Printf("%q %v\n", answer[:n], errors.Is(err, ringport.ErrMoreData))
	n, err = client.Read(answer) // goes on where the buffer ended
	fmt.Printf("%q %v\n", answer[:n], errors.Is(err, ringport.ErrMoreData))
	rest, _ := io.ReadAll(io.LimitReader(client, 1))
	fmt.Printf("%q\n", rest)

	// There is no other answer.
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err = client.WithContext(short).Read(answer)
	fmt.Println(err)

	client.Close()
	stop()
	fmt.Println(errors.Is(<-served, context.Canceled))
	f.Close()

	// Output:
	// "HELLO" true
	// ", PIP" true
	// "E"
	// read client: context deadline exceeded
	// true
}
