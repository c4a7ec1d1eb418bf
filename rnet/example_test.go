package rnet_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ringport/ringport/rnet"
)

// A server and a client as with package net. What is new is the view: whoever reads it stops waiting when the context ends.
func Example() {
	l, err := rnet.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "hello")
		io.Copy(io.Discard, c) // until the client leaves
	}()

	c, err := rnet.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	fmt.Printf("%q %v\n", buf[:n], err)

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = c.(*rnet.Conn).WithContext(ctx).Read(buf)
	fmt.Println(err.(*net.OpError).Err)

	// Output:
	// "hello" <nil>
	// context deadline exceeded
}

// echo is a handler of loops.
type echo struct{}

func (echo) OnOpen(c *rnet.LoopConn)              { c.SetTimeout(time.Minute) }
func (echo) OnData(c *rnet.LoopConn, data []byte) { c.Write(data) } // copied: data is borrowed
func (echo) OnClose(c *rnet.LoopConn, err error) {
	if err != io.EOF {
		log.Println(c.RemoteAddr(), err)
	}
}

// A server of callbacks: each loop drives a ring of its own, and a connection's functions are always called by the same loop.
func ExampleServeLoops() {
	server, err := rnet.ServeLoops(context.Background(), "tcp", "127.0.0.1:0", echo{}, rnet.LoopConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	c, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Printf("%s %v\n", answer, err)

	// Output: hello <nil>
}

// Package net/http takes listeners and dialers as they are.
func Example_http() {
	l, err := rnet.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })}
	go server.Serve(l)
	defer server.Close()

	transport := &http.Transport{DialContext: rnet.DialContext}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	answer, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(os.Stdout, answer.Body)

	// Output: hello
}
