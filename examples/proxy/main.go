// Command proxy passes on TCP connections: what is sent to ADDRESS goes to TARGET, and the answers come back. Where the system can, no byte
// passes through the program (splice(2)).
//
//	go run ./examples/proxy ADDRESS TARGET
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/ringport/ringport/rnet"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: proxy ADDRESS TARGET")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2], os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run passes connections at address, which it prints, on to target until ctx ends.
func run(ctx context.Context, address, target string, out io.Writer) error {
	l, err := rnet.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintln(out, l.Addr())
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		client, err := l.(*rnet.Listener).AcceptContext(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		conns.Go(func() {
			defer client.Close()
			if err := pass(ctx, client, target); err != nil && !errors.Is(err, context.Canceled) {
				log.Println(err)
			}
		})
	}
}

// pass connects client with target, until both have said all, one of the two breaks off, or ctx ends.
func pass(ctx context.Context, client *rnet.Conn, target string) error {
	dialer := rnet.Dialer{Timeout: 10 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	server := c.(*rnet.Conn)
	defer server.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var both sync.WaitGroup
	for _, way := range [][2]*rnet.Conn{{server, client}, {client, server}} {
		both.Go(func() {
			to, from := way[0].WithContext(ctx), way[1].WithContext(ctx)
			_, err := io.Copy(to, from)
			if err == nil {
				err = to.CloseWrite() // that was all; the other way may go on
			}
			if err != nil {
				cancel(err) // ends the other way too
			}
		})
	}
	both.Wait()
	return context.Cause(ctx)
}
