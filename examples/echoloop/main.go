// Command echoloop sends back what it receives, by callbacks on a few loops, until it is interrupted. Connections that say nothing for a minute
// are closed.
//
//	go run ./examples/echoloop [ADDRESS]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

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

const silence = time.Minute

// echo is the handler. The functions of one connection are always called by the same loop, so that it needs no lock.
type echo struct{}

func (echo) OnOpen(c *rnet.LoopConn) { c.SetTimeout(silence) }

func (echo) OnData(c *rnet.LoopConn, data []byte) {
	c.SetTimeout(silence)
	c.Write(data) // which copies them; what goes wrong is told to OnClose
}

func (echo) OnClose(c *rnet.LoopConn, err error) {
	if err != io.EOF && !errors.Is(err, context.Canceled) {
		log.Println(c.RemoteAddr(), err)
	}
}

// run serves at address, which it prints, until ctx ends.
func run(ctx context.Context, address string, out io.Writer) error {
	server, err := rnet.ServeLoops(ctx, "tcp", address, echo{}, rnet.LoopConfig{})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, server.Addr())
	if err := server.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
