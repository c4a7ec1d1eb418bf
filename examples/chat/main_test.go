package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ringport/ringport/ipc"
)

// newRoom is a name that nobody has.
func newRoom(t *testing.T) string {
	if runtime.GOOS == "windows" {
		return fmt.Sprint("ringport-chat-test-", os.Getpid())
	}
	dir, err := os.MkdirTemp("", "chat") // t.TempDir may be too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "room")
}

// guest is somebody in the room: what they type, what they see, and how it ends.
type guest struct {
	keyboard *io.PipeWriter
	screen   *bufio.Reader
	ended    chan error
}

func enter(ctx context.Context, name, nick string) guest {
	in, keyboard := io.Pipe()
	screen, out := io.Pipe()
	g := guest{keyboard, bufio.NewReader(screen), make(chan error, 1)}
	go func() {
		g.ended <- join(ctx, name, nick, in, out)
		out.Close()
	}()
	return g
}

func (g guest) sees(t *testing.T, want string) {
	t.Helper()
	if got, err := g.screen.ReadString('\n'); got != want+"\n" || err != nil {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

// TestChat: everybody sees what one says, who comes and who leaves; the end of the server's context closes the room for those who are in it.
func TestChat(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	name := newRoom(t)
	if err := join(ctx, name, "early", nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there is a room: %v", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- serve(ctx, name) }()
	for {
		c, err := ipc.Dial(ctx, name) // leaves at once
		if err == nil {
			c.Close()
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if err := serve(ctx, name); !errors.Is(err, ipc.ErrInUse) {
		t.Errorf("a second room of that name: %v", err)
	}
	here := fmt.Sprintf(", process %d, is here", os.Getpid())
	ann := enter(ctx, name, "ann")
	ann.sees(t, "ann"+here)
	bob := enter(ctx, name, "bob")
	bob.sees(t, "bob"+here)
	ann.sees(t, "bob"+here)
	fmt.Fprintln(bob.keyboard, "hello")
	ann.sees(t, "bob: hello")
	bob.sees(t, "bob: hello")
	bob.keyboard.Close()
	if err := <-bob.ended; err != nil {
		t.Error(err)
	}
	ann.sees(t, "bob has left")
	cancel()
	for who, end := range map[string]chan error{"ann": ann.ended, "the server": closed} {
		if err := <-end; err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
	ann.keyboard.Close()
}
