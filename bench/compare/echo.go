package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/panjf2000/gnet/v2"

	"github.com/ringport/ringport/rnet"
)

// A server is a child process: it prints its port and serves until its standard input ends. peers/load.c asks echo servers.

func init() {
	plays["echo"] = playEcho
}

// echo measures a server under load: round trips a second, and the processor time that the server takes.
func (e *environment) echo(server *exec.Cmd, connections, bytes int) (figures, error) {
	load, err := e.inC("load", "", "the C library's headers")
	if err != nil {
		return figures{}, err
	}
	return underLoad(server, func(port string) (figures, error) {
		return parse(exec.CommandContext(e.ctx, load, port, strconv.Itoa(connections), strconv.Itoa(bytes), fmt.Sprint(e.seconds)))
	})
}

// underLoad runs a server while load asks what listens on a port, and adds the processor time that the server takes.
func underLoad(server *exec.Cmd, load func(port string) (figures, error)) (f figures, err error) {
	stdin, stdout, err := begin(server)
	if err != nil {
		return f, err
	}
	line, err := stdout.ReadString('\n')
	if err == nil {
		f, err = load(strings.TrimSpace(line))
	}
	stdin.Close()
	if ended := server.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("server: %w", ended)
	}
	used := server.ProcessState
	f.CPUSeconds = (used.UserTime() + used.SystemTime()).Seconds()
	return f, err
}

// begin starts a child with pipes for what it reads and prints.
func begin(child *exec.Cmd) (in io.WriteCloser, out *bufio.Reader, err error) {
	in, err = child.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return in, bufio.NewReader(stdout), child.Start()
}

// echoRole is a server of this program's under load.
func echoRole(engine string, loops, connections, bytes int) func(*environment) (figures, error) {
	return func(e *environment) (figures, error) {
		cmd, err := e.child(role{Name: "echo", Engine: engine, Depth: loops})
		if err != nil {
			return figures{}, err
		}
		return e.echo(cmd, connections, bytes)
	}
}

// child is the command that plays a role and is not waited for at once.
func (e *environment) child(r role) (*exec.Cmd, error) {
	r.Seconds = e.seconds
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	self, err := e.self(false)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(e.ctx, self[0], self[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+string(text), "GNET_LOGGING_LEVEL=2") // gnet prints to standard output otherwise
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// echoLimit is the server in C under load.
func echoLimit(connections, bytes int) func(*environment) (figures, error) {
	return func(e *environment) (figures, error) {
		program, err := e.inC("echo", "-luring", "liburing for C")
		if err != nil {
			return figures{}, err
		}
		server := exec.CommandContext(e.ctx, program)
		server.Stderr = os.Stderr
		return e.echo(server, connections, bytes)
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
	fmt.Println(portOf(at))
	io.Copy(io.Discard, os.Stdin)
	return server.Close()
}

func portOf(at net.Addr) int { return int(netip.MustParseAddrPort(at.String()).Port()) }

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

// serveGnet serves until the standard input ends.
func serveGnet(loops int) error {
	return withGnet(loops, func(port int) error {
		fmt.Println(port)
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	})
}

// withGnet runs f while gnet's echo server listens on a port.
func withGnet(loops int, f func(port int) error) error {
	// gnet doesn't say which port it has got.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := portOf(l.Addr())
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
		err := f(port)
		return errors.Join(err, engine.Stop(context.Background()), <-ended)
	}
}
