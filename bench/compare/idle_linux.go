package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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
	// A process that holds connections needs other descriptors too. Where its limit is lower, it holds fewer.
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
			{name: "idle-50k-held", unit: "connections", figure: figures.operations, goal: idleWanted, absolute: true},
		},
		ours:   idleRole("loops"),
		theirs: idleRole("gnet"),
	}
}

// idleRole runs a server and, in another process, its client. The server prints its port, and when told that the client has its connections,
// how much memory it has. Its processor time is read from here: a process that looks at itself is not idle.
func idleRole(engine string) func(*environment) (figures, error) {
	return func(e *environment) (f figures, err error) {
		server, err := e.child(role{Name: "idle", Engine: engine})
		if err != nil {
			return f, err
		}
		toServer, err := server.StdinPipe()
		if err != nil {
			return f, err
		}
		fromServer, err := server.StdoutPipe()
		if err != nil {
			return f, err
		}
		if err := server.Start(); err != nil {
			return f, err
		}
		lines := bufio.NewReader(fromServer)
		port, err := lines.ReadString('\n')
		if err == nil {
			err = e.withIdlers(strings.TrimSpace(port), func(n string) error {
				if _, err := io.WriteString(toServer, n); err != nil {
					return err
				}
				if err := json.NewDecoder(lines).Decode(&f); err != nil {
					return err
				}
				return e.watchIdle(server.Process.Pid, &f)
			})
		}
		toServer.Close()
		return f, errors.Join(err, server.Wait())
	}
}

const (
	restSeconds = 0.2 // who takes no processor time for so long is at rest: what the set-up left behind is done
	restTries   = 25
)

// watchIdle measures the processor time of a process. Before that it waits until the process is at rest; of one that never is, it measures that.
func (e *environment) watchIdle(pid int, f *figures) error {
	for range restTries {
		busy, err := idleCPU(pid, restSeconds)
		if err != nil {
			return err
		}
		if busy == 0 {
			break
		}
	}
	busy, err := idleCPU(pid, e.seconds)
	f.CPUSeconds, f.Seconds = busy.Seconds(), e.seconds
	return err
}

// idleCPU is how much processor time a process takes in so many seconds.
func idleCPU(pid int, seconds float64) (time.Duration, error) {
	var before, after unix.Timespec
	clock := int32(^pid<<3 | 2) // what clock_getcpuclockid(3) makes of it: to the nanosecond
	if err := unix.ClockGettime(clock, &before); err != nil {
		return 0, err
	}
	time.Sleep(time.Duration(seconds * 1e9)) // nothing is awaited: this is the idleness that is measured
	err := unix.ClockGettime(clock, &after)
	return time.Duration(after.Nano() - before.Nano()), err
}

// withIdlers runs f while a child holds connections to a port. F is told how many, in a line.
func (e *environment) withIdlers(port string, f func(n string) error) error {
	client, err := e.child(role{Name: "idlers", File: port})
	if err != nil {
		return err
	}
	stop, err := client.StdinPipe()
	if err != nil {
		return err
	}
	out, err := client.StdoutPipe()
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	n, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = f(n)
	}
	stop.Close()
	return errors.Join(err, client.Wait())
}

// raiseLimit has this process open as many descriptors as it may, and returns how many connections that allows.
func raiseLimit() (connections int, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
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

// playIdlers opens connections to port r.File, sends a message on each and gets its echo, says how many there are, and holds them until its
// standard input ends.
func playIdlers(r role) (figures, error) {
	n, err := raiseLimit()
	if err != nil {
		return figures{}, err
	}
	var port int
	if _, err := fmt.Sscan(r.File, &port); err != nil {
		return figures{}, err
	}
	for i := range n {
		if err := idler(port, byte(1+i/idlersPerAddress)); err != nil {
			return figures{}, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	fmt.Println(n)
	_, err = io.Copy(io.Discard, os.Stdin)
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
