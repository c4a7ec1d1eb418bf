// Command httpserver serves the files of a folder with net/http over ringport's connections, until it is interrupted; then it lets the
// requests that it has end.
//
//	go run ./examples/httpserver [ADDRESS [FOLDER]]
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/ringport/ringport/rnet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	args := []string{"127.0.0.1:8080", "."}
	copy(args, os.Args[1:])
	if err := run(ctx, args[0], args[1], os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves folder at address, which it prints, until ctx ends.
func run(ctx context.Context, address, folder string, out io.Writer) error {
	l, err := rnet.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s\n", l.Addr())
	server := &http.Server{Handler: http.FileServer(http.Dir(folder)), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Shutdown(patience)
}
