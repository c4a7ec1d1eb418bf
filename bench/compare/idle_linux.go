package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/pool/goroutine"
	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/rnet"
)

func init() {
	plays["idle"], plays["idlers"] = playIdle, playIdlers
	contests = append(contests, idleConnections())
}

const (
	idleWanted = 50_000
	// A process that holds connections needs other descriptors too. Where its limit is too low for all, several share them.
	otherDescriptors = 200
	// Each of the client's addresses, 127.0.1.1 and so on, has so many connections: fewer than there are ports for one.
	idlersPerAddress = 4000
)

// idleConnections is what connections cost that are open, have been used once, and wait.
func idleConnections() contest {
	return contest{
		against: "gnet, one loop",
		rows: []row{
			{name: "idle-50k", unit: "bytes of Go memory a connection", figure: figures.bytesEach, goal: 1024, atMost: true, absolute: true},
			{name: "idle-50k-cpu", unit: "ms CPU a second while idle", figure: figures.cpuMilliseconds, goal: 0, atMost: true, absolute: true},
		},
		ours:   idleRole("loops"),
		theirs: idleRole("gnet"),
	}
}

// idleRole runs a server and, in another process, its client, and so many more of these pairs as it takes to hold all connections.
func idleRole(engine string) func(*environment) (figures, error) {
	return func(e *environment) (f figures, err error) {
		limit, err := raiseLimit()
		if err != nil {
			return f, err
		}
		var pairs []*idlePair
		defer func() {
			for _, p := range pairs {
				err = errors.Join(err, p.stop())
			}
		}()
		for held := 0; held < idleWanted; {
			p := &idlePair{}
			pairs = append(pairs, p)
			n := min(limit, idleWanted-held)
			of, err := p.start(e, engine, n)
			if err != nil {
				return f, err
			}
			f.Bytes += of.Bytes
			held += n
		}
		f.Operations = idleWanted
		err = e.watchIdle(pairs, &f)
		return f, err
	}
}

// idlePair is a server and its client, both children.
type idlePair struct {
	server, client     *exec.Cmd
	toServer, toClient io.Closer // their standard inputs, whose end they wait for
}

// start has a server hold n connections. Its figures say how much memory that takes.
func (p *idlePair) start(e *environment, engine string, n int) (f figures, err error) {
	server, err := e.child(role{Name: "idle", Engine: engine})
	if err != nil {
		return f, err
	}
	toServer, fromServer, err := begin(server)
	if err != nil {
		return f, err
	}
	p.server, p.toServer = server, toServer
	port, err := fromServer.ReadString('\n')
	if err != nil {
		return f, err
	}
	client, err := e.child(role{Name: "idlers", File: strings.TrimSpace(port), Depth: n})
	if err != nil {
		return f, err
	}
	toClient, fromClient, err := begin(client)
	if err != nil {
		return f, err
	}
	p.client, p.toClient = client, toClient
	held, err := fromClient.ReadString('\n')
	if err != nil {
		return f, err
	}
	if _, err := io.WriteString(toServer, held); err != nil {
		return f, err
	}
	err = json.NewDecoder(fromServer).Decode(&f)
	return f, err
}

// stop ends both, and says what was wrong with them.
func (p *idlePair) stop() (err error) {
	if p.client != nil {
		p.toClient.Close()
		err = p.client.Wait()
	}
	if p.server != nil {
		p.toServer.Close()
		err = errors.Join(err, p.server.Wait())
	}
	return err
}

const (
	restSeconds = 0.2 // who takes no processor time for so long is at rest: what the set-up left behind is done
	restTries   = 25
)

// watchIdle measures the processor time of the servers. Before that it waits until they are at rest; of those that never are, it measures that.
func (e *environment) watchIdle(pairs []*idlePair, f *figures) error {
	for range restTries {
		busy, err := idleCPU(pairs, restSeconds)
		if err != nil {
			return err
		}
		if busy == 0 {
			break
		}
	}
	busy, err := idleCPU(pairs, e.seconds)
	f.CPUSeconds, f.Seconds = busy.Seconds(), e.seconds
	return err
}

// idleCPU is how much processor time the servers take in so many seconds. It is read from here: a process that looks at itself is not idle.
func idleCPU(pairs []*idlePair, seconds float64) (used time.Duration, err error) {
	look := func(sign time.Duration) error {
		for _, p := range pairs {
			var now unix.Timespec
			clock := int32(^p.server.Process.Pid<<3 | 2) // what clock_getcpuclockid(3) makes of it: to the nanosecond
			if err := unix.ClockGettime(clock, &now); err != nil {
				return err
			}
			used += sign * time.Duration(now.Nano())
		}
		return nil
	}
	if err := look(-1); err != nil {
		return 0, err
	}
	time.Sleep(time.Duration(seconds * 1e9)) // nothing is awaited: this is the idleness that is measured
	err = look(1)
	return used, err
}

// raiseLimit has this process open as many descriptors as it may, and returns how many connections one process can hold.
func raiseLimit() (connections int, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Max < 4*otherDescriptors {
		return 0, fmt.Errorf("no more than %d descriptors a process", limit.Max)
	}
	return int(min(idleWanted, limit.Max-otherDescriptors)), nil
}

// playIdle is an echo server with one loop, which measures its memory, and is idle until its standard input ends.
func playIdle(r role) (f figures, err error) {
	if _, err := raiseLimit(); err != nil {
		return f, err
	}
	measure := func(port int) error {
		before := goMemory()
		fmt.Println(port)
		connections := 0
		if _, err := fmt.Scanln(&connections); err != nil {
			return err
		}
		f.Bytes = float64(goMemory()) - float64(before)
		f.Operations = float64(connections)
		if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	if r.Engine == "gnet" {
		err := withGnet(1, measure)
		return f, err
	}
	goroutine.DefaultWorkerPool.Release() // of gnet, which is linked in: it looks at the clock twice a second
	ls, err := rnet.ServeLoops(context.Background(), "tcp", "127.0.0.1:0", echoHandler{}, rnet.LoopConfig{Loops: 1})
	if err != nil {
		return f, err
	}
	err = measure(portOf(ls.Addr()))
	return f, errors.Join(err, ls.Close())
}

// goMemory is what this process's Go runtime has from the system, in bytes, when all that is garbage has been given back.
func goMemory() uint64 {
	runtime.GC() // what has a cleanup goes at the second
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Sys - stats.HeapReleased
}

// playIdlers opens r.Depth connections to port r.File, sends a message on each and gets its echo, says how many there are, and holds them until
// its standard input ends.
func playIdlers(r role) (figures, error) {
	if _, err := raiseLimit(); err != nil {
		return figures{}, err
	}
	var port int
	if _, err := fmt.Sscan(r.File, &port); err != nil {
		return figures{}, err
	}
	for i := range r.Depth {
		if err := idler(port, byte(1+i/idlersPerAddress)); err != nil {
			return figures{}, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	fmt.Println(r.Depth)
	_, err := io.Copy(io.Discard, os.Stdin)
	return figures{}, err
}

// idler opens a connection from address 127.0.1.host, which this process has until it ends.
func idler(port int, host byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, host}}); err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		return err
	}
	message := make([]byte, 64)
	if _, err := unix.Write(fd, message); err != nil {
		return err
	}
	n, _, err := unix.Recvfrom(fd, message, unix.MSG_WAITALL)
	if err == nil && n != len(message) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
