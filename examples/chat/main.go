// Command chat is a room for the programs of one user: a server that passes on what each client says, over package ipc.
//
//	go run ./examples/chat serve [NAME]
//	go run ./examples/chat join NICK [NAME]
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/ipc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	args := append(os.Args[1:], make([]string, 3)...)
	var err error
	switch {
	case args[0] == "serve":
		err = serve(ctx, orRoom(args[1]))
	case args[0] == "join" && args[1] != "":
		err = join(ctx, orRoom(args[2]), args[1], ringport.Stdin().WithContext(ctx), os.Stdout)
	default:
		err = errors.New("usage: chat serve [NAME] | chat join NICK [NAME]")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func orRoom(name string) string {
	if name == "" {
		return "ringport.chat"
	}
	return name
}

// room is who is there.
type room struct {
	mu    sync.Mutex
	conns map[*ipc.Conn]bool
}

// serve opens a room and keeps it until ctx ends.
func serve(ctx context.Context, name string) error {
	l, err := ipc.Listen(name)
	if err != nil {
		return err
	}
	defer l.Close()
	r := room{conns: map[*ipc.Conn]bool{}}
	var guests sync.WaitGroup
	defer guests.Wait()
	for {
		c, err := l.AcceptContext(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		guests.Go(func() {
			defer c.Close()
			if err := r.host(ctx, c); err != nil && !errors.Is(err, context.Canceled) {
				log.Println(err)
			}
		})
	}
}

// host passes on what a guest says, whose first line is the nick, until the guest leaves.
func (r *room) host(ctx context.Context, c *ipc.Conn) error {
	peer, err := c.Peer()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(c.WithContext(ctx))
	if !lines.Scan() {
		return lines.Err()
	}
	nick := lines.Text()
	r.mu.Lock()
	r.conns[c] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
		r.say(fmt.Sprintf("%s has left\n", nick))
	}()
	r.say(fmt.Sprintf("%s, process %d, is here\n", nick, peer.PID))
	for lines.Scan() {
		r.say(fmt.Sprintf("%s: %s\n", nick, lines.Text()))
	}
	return lines.Err()
}

// say tells everybody. Who can't listen, or doesn't, is thrown out: nobody waits for them.
func (r *room) say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(c, text); err != nil {
			c.Close()
		}
	}
}

// join says what in has, and shows what others say, until in ends, the room is closed or ctx ends.
func join(ctx context.Context, name, nick string, in io.Reader, out io.Writer) error {
	c, err := ipc.Dial(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	view := c.WithContext(ctx)
	if _, err := fmt.Fprintln(view, nick); err != nil {
		return err
	}
	said := make(chan error, 1)
	go func() {
		_, err := io.Copy(view, in)
		said <- err
		c.Close() // ends the other direction
	}()
	_, err = io.Copy(out, view)
	select {
	case err = <-said:
	default: // the room is closed, and in may have nothing to say for a long time
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
