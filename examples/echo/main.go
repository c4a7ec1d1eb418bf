// Command echo sends back what it receives, with a goroutine for each connection, until it is interrupted.
//
//	go run ./examples/echo [ADDRESS]
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

	"github.com/ringport/ringport/rnet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	address := "127.0.0.1:7007"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if err := run(ctx, address, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves at address, which it prints, until ctx ends.
func run(ctx context.Context, address string, out io.Writer) error {
	l, err := rnet.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintln(out, l.Addr())
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.(*rnet.Listener).AcceptContext(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		conns.Go(func() {
			defer c.Close()
			view := c.WithContext(ctx) // whatever waits on it ends when ctx does
			if _, err := io.Copy(view, view); err != nil && !errors.Is(err, context.Canceled) {
				log.Println(err)
			}
		})
	}
}
