// Package echotest is the test of the examples that are echo servers.
package echotest

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
)

// Run: what is sent to the server that run is comes back, the end of the stream too, and the server ends with its context though a connection is open.
func Run(t *testing.T, run func(ctx context.Context, address string, out io.Writer) error) {
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error)
	go func() { ended <- run(ctx, "127.0.0.1:0", w) }()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dial := func() *net.TCPConn {
		c, err := net.Dial("tcp", address[:len(address)-1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
	c, idle := dial(), dial()
	c.Write([]byte("hello"))
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the open connection is still open")
	}
}
