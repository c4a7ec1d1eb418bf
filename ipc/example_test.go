package ipc_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/ringport/ringport/ipc"
)

// A server that answers its own user alone, and a client that makes sure that it is the server it expects. The same program runs on Unix and
// Windows.
func Example() {
	name := fmt.Sprint("ringport.example.", os.Getpid())
	l, err := ipc.Listen(name)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.AcceptContext(context.Background())
		if err != nil {
			return
		}
		defer c.Close()
		peer, err := c.Peer()
		fmt.Fprintf(c, "this is me: %v %v", peer.PID == os.Getpid(), err)
		io.Copy(io.Discard, c) // until the client leaves
	}()

	c, err := ipc.Dial(context.Background(), name)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	fmt.Printf("%q %v\n", buf[:n], err)

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = c.WithContext(ctx).Read(buf)
	fmt.Println(err.(*net.OpError).Err)

	// Output:
	// "this is me: true <nil>" <nil>
	// context deadline exceeded
}

// Who must be at the other end, the client knows before it has sent anything.
func ExampleDialer() {
	d := ipc.Dialer{Timeout: time.Minute, ExpectedOwner: "S-1-5-18"} // SYSTEM; on Unix a number, "0" for root
	c, err := d.Dial(context.Background(), "ringport.example.nobody")
	if err != nil {
		fmt.Println("nobody, or not who was expected")
		return
	}
	c.Close()

	// Output: nobody, or not who was expected
}
