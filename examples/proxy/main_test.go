package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"testing"
)

// TestRun: bytes and ends of streams pass both ways; when one side breaks off, so does the other; the proxy ends with its context.
func TestRun(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error)
	go func() { ended <- run(ctx, "127.0.0.1:0", target.Addr().String(), w) }()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	connect := func() (client, server *net.TCPConn) {
		c, err := net.Dial("tcp", address[:len(address)-1])
		if err != nil {
			t.Fatal(err)
		}
		s, err := target.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); s.Close() })
		return c.(*net.TCPConn), s.(*net.TCPConn)
	}

	client, server := connect()
	question := bytes.Repeat([]byte("question "), 100_000)
	go func() {
		client.Write(question)
		client.CloseWrite()
	}()
	if got, err := io.ReadAll(server); !bytes.Equal(got, question) || err != nil {
		t.Errorf("%d bytes of %d, %v", len(got), len(question), err)
	}
	server.Write([]byte("answer"))
	server.Close()
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Errorf("%q, %v", got, err)
	}

	client, server = connect()
	server.SetLinger(0)
	server.Close()
	io.ReadAll(client) // ends, with an error or not

	client, _ = connect()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("a connection is still open")
	}
}
