package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"

	"github.com/panjf2000/gnet/v2"

	"github.com/ringport/ringport/rnet"
)

// An echo server is a child process: it prints its port and serves until its standard input ends. peers/load.c asks it.

func init() {
	plays["echo"] = playEcho
}

// echo measures a server under load: round trips a second, and the processor time that the server takes.
func (e *environment) echo(server *exec.Cmd, connections, bytes int) (f figures, err error) {
	load, err := e.inC("load", "", "the C library's headers")
	if err != nil {
		return f, err
	}
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe()
	if err != nil {
		return f, err
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		return f, err
	}
	if err := server.Start(); err != nil {
		return f, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	port := 0
	if err == nil {
		port, err = strconv.Atoi(line[:len(line)-1])
	}
	if err == nil {
		f, err = parse(exec.CommandContext(e.ctx, load, strconv.Itoa(port), strconv.Itoa(connections), strconv.Itoa(bytes), fmt.Sprint(e.seconds)))
	}
	stdin.Close()
	if ended := server.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("echo server: %w", ended)
	}
	used := server.ProcessState
	f.CPUSeconds = (used.UserTime() + used.SystemTime()).Seconds()
	return f, err
}

// echoRole is a server of this program's under load.
func echoRole(engine string, loops, connections, bytes int) func(*environment) (figures, error) {
	return func(e *environment) (figures, error) {
		text, err := json.Marshal(role{Name: "echo", Engine: engine, Depth: loops})
		if err != nil {
			return figures{}, err
		}
		self, err := e.self(false)
		if err != nil {
			return figures{}, err
		}
		cmd := exec.CommandContext(e.ctx, self[0], self[1:]...)
		cmd.Env = append(os.Environ(), roleVariable+"="+string(text), "GNET_LOGGING_LEVEL=2") // gnet prints to standard output otherwise
		return e.echo(cmd, connections, bytes)
	}
}

// echoLimit is the server in C under load.
func echoLimit(connections, bytes int) func(*environment) (figures, error) {
	return func(e *environment) (figures, error) {
		program, err := e.inC("echo", "-luring", "liburing for C")
		if err != nil {
			return figures{}, err
		}
		return e.echo(exec.CommandContext(e.ctx, program), connections, bytes)
	}
}

// playEcho is a server, with r.Depth loops if it has loops.
func playEcho(r role) (figures, error) {
	switch r.Engine {
	case "gnet":
		return figures{}, serveGnet(r.Depth)
	case "loops":
		ls, err := rnet.ServeLoops(context.Background(), "tcp", "127.0.0.1:0", echoHandler{}, rnet.LoopConfig{Loops: r.Depth})
		if err != nil {
			return figures{}, err
		}
		return figures{}, serveUntilInputEnds(ls.Addr(), ls)
	}
	listen := net.Listen
	if r.Engine == "rnet" {
		listen = rnet.Listen
	}
	l, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		return figures{}, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for buf := make([]byte, 64<<10); ; {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return figures{}, serveUntilInputEnds(l.Addr(), l)
}

func serveUntilInputEnds(at net.Addr, server io.Closer) error {
	fmt.Println(at.(*net.TCPAddr).Port)
	io.Copy(io.Discard, os.Stdin)
	return server.Close()
}

type echoHandler struct{}

func (echoHandler) OnOpen(*rnet.LoopConn)                  {}
func (echoHandler) OnData(c *rnet.LoopConn, data []byte)   { c.Write(data) }
func (echoHandler) OnClose(c *rnet.LoopConn, reason error) {}

// gnetEcho is gnet's own example of an echo server.
type gnetEcho struct {
	gnet.BuiltinEventEngine
	started chan gnet.Engine
}

func (h *gnetEcho) OnBoot(engine gnet.Engine) gnet.Action {
	h.started <- engine
	return gnet.None
}

func (h *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(buf); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func serveGnet(loops int) error {
	// gnet doesn't say which port it has got.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	h := &gnetEcho{started: make(chan gnet.Engine, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- gnet.Run(h, fmt.Sprintf("tcp://127.0.0.1:%d", port), gnet.WithNumEventLoop(loops), gnet.WithTCPNoDelay(gnet.TCPNoDelay))
	}()
	select {
	case err := <-ended:
		return err
	case engine := <-h.started:
		fmt.Println(port)
		io.Copy(io.Discard, os.Stdin)
		if err := engine.Stop(context.Background()); err != nil {
			return err
		}
		return <-ended
	}
}
