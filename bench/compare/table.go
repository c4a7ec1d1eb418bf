package main

import "fmt"

// contests are all comparisons, in the order in which they run. Goals are the project's.
var contests = []contest{
	reads(32, 2.3, 0.40),
	reads(128, 2.7, 0.30),
	loops(32),
	loops(128),
	{
		against: "os.File.ReadAt, direct",
		rows:    []row{{name: "read-1", unit: "operations/s", figure: figures.perSecond, goal: 1.0}},
		ours:    sideOf(role{Name: "read", Engine: "ringport", Depth: 1, Direct: true, NeedsData: true}),
		theirs:  sideOf(role{Name: "read", Engine: "osfile", Depth: 1, Direct: true, NeedsData: true}),
	},
	cached("cached-1", 1),
	cached("cached-2", 2),
	appends("append-1", 1, 1.0),
	appends("append-16", 16, 1.5),
	{
		against: "the same loop in C on liburing",
		rows:    []row{{name: "nop-32", unit: "operations/s", figure: figures.perSecond, goal: 0.6}},
		ours:    sideOf(role{Name: "nop"}),
		theirs:  cNop,
	},
	{
		against: "time.AfterFunc, Reset",
		rows:    []row{{name: "timeout-1m", unit: "ns a Reset", figure: figures.nanoseconds, goal: 0.5, atMost: true}},
		ours:    sideOf(role{Name: "timeout", Engine: "ringport", Change: "reset"}),
		theirs:  sideOf(role{Name: "timeout", Engine: "runtime", Change: "reset"}),
	},
	{
		against: "time.AfterFunc, Stop and a new one",
		rows:    []row{{name: "timeout-1m-new", unit: "ns a change", figure: figures.nanoseconds, goal: 0.5, atMost: true}},
		ours:    sideOf(role{Name: "timeout", Engine: "ringport", Change: "new"}),
		theirs:  sideOf(role{Name: "timeout", Engine: "runtime", Change: "new"}),
	},
	copies("cp-big", makeBigFile),
	copies("cp-tree", makeTree),
	echoLoops(64, 1.35),
	echoLoops(1000, 1.15),
	echoLoopsLimit(64),
	echoLoopsLimit(1000),
	watchDirs(),
	echoConns("echo-conn-64", 64, 64, 1.0),
	echoConns("echo-conn-1000", 1000, 64, 1.0),
	echoConns("echo-conn-16k", 64, 16<<10, 1.1),
	{
		against: "net.UDPConn",
		rows: []row{
			{name: "udp-echo", unit: "datagrams/s", figure: figures.perSecond, goal: 1.2},
			{name: "udp-echo-cpu", unit: "µs CPU a datagram", figure: figures.cpuMicroseconds, goal: 1.0, atMost: true},
		},
		ours:   udpRole("rnet"),
		theirs: udpRole("net"),
	},
	{
		against: "net/http over package net",
		rows: []row{
			{name: "http-plain", unit: "requests/s", figure: figures.perSecond, goal: 1.0},
			{name: "http-plain-cpu", unit: "µs CPU a request", figure: figures.cpuMicroseconds, goal: 1.0, atMost: true},
		},
		ours:   httpRole("rnet"),
		theirs: httpRole("net"),
	},
	{
		against: "net.TCPConn.ReadFrom (sendfile)",
		rows: []row{
			{name: "send-file", unit: "GiB/s", figure: figures.perSecond, goal: 1.0},
			{name: "send-file-cpu", unit: "µs CPU a GiB", figure: figures.cpuMicroseconds, goal: 1.0, atMost: true},
		},
		ours:   sideOf(role{Name: "sendfile", Engine: "rnet", NeedsData: true}),
		theirs: sideOf(role{Name: "sendfile", Engine: "net", NeedsData: true}),
	},
	onWindows("wine-read-1", "go-winio, Read", role{Name: "overlapped", Depth: 1}),
	onWindows("wine-read-32", "go-winio, Read", role{Name: "overlapped", Depth: 32}),
	onWindows("wine-pipe", "go-winio, ListenPipe and DialPipe", role{Name: "pipe"}),
	onWindows("pipe-pingpong", "go-winio, ListenPipe and DialPipe", role{Name: "pipe-pingpong"}),
	onWindows("pipe-stream", "go-winio, ListenPipe and DialPipe", role{Name: "pipe-stream"}),
}

func sideOf(r role) func(*environment) (figures, error) {
	return func(e *environment) (figures, error) { return e.role(r) }
}

// reads is 4 KiB random direct reads by so many goroutines with blocking calls.
func reads(depth int, speed, cpu float64) contest {
	name := map[int]string{32: "read-32", 128: "read-128"}[depth]
	return contest{
		against: "os.File.ReadAt, direct",
		rows: []row{
			{name: name, unit: "operations/s", figure: figures.perSecond, goal: speed},
			{name: name + "-cpu", unit: "µs CPU an operation", figure: figures.cpuMicroseconds, goal: cpu, atMost: true},
		},
		ours:   sideOf(role{Name: "read", Engine: "ringport", Depth: depth, Direct: true, NeedsData: true}),
		theirs: sideOf(role{Name: "read", Engine: "osfile", Depth: depth, Direct: true, NeedsData: true}),
	}
}

// loops is the same reads, caller-driven.
func loops(depth int) contest {
	name := map[int]string{32: "loop-32", 128: "loop-128"}[depth]
	return contest{
		against: "fio, io_uring engine",
		rows: []row{
			{name: name, unit: "operations/s", figure: figures.perSecond, goal: 0.95},
			{name: name + "-cpu", unit: "µs CPU an operation", figure: figures.cpuMicroseconds, goal: 1.25, atMost: true},
		},
		ours:   sideOf(role{Name: "loop", Depth: depth, Direct: true, NeedsData: true}),
		theirs: func(e *environment) (figures, error) { return fio(e, depth) },
	}
}

func cached(name string, goroutines int) contest {
	return contest{
		against: "os.File.ReadAt, cached",
		rows:    []row{{name: name, unit: "operations/s", figure: figures.perSecond, goal: 1.0}},
		ours:    sideOf(role{Name: "read", Engine: "ringport", Depth: goroutines, NeedsData: true}),
		theirs:  sideOf(role{Name: "read", Engine: "osfile", Depth: goroutines, NeedsData: true}),
	}
}

func appends(name string, writers int, goal float64) contest {
	return contest{
		against: "os.File Write and Sync",
		rows:    []row{{name: name, unit: "operations/s", figure: figures.perSecond, goal: goal}},
		ours:    sideOf(role{Name: "append", Engine: "ringport", Depth: writers}),
		theirs:  sideOf(role{Name: "append", Engine: "osfile", Depth: writers}),
	}
}

func copies(name string, prepare func(*environment) (string, error)) contest {
	return contest{
		against: "coreutils cp, caches dropped",
		rows:    []row{{name: name, unit: "s", figure: figures.seconds, goal: 1.0, inverse: true}},
		ours:    func(e *environment) (figures, error) { return copyOurs(e, prepare) },
		theirs:  func(e *environment) (figures, error) { return copyTheirs(e, prepare) },
	}
}

// echoLoops is messages of 64 bytes on so many connections, each side with one loop, which leaves a processor to the load.
func echoLoops(connections int, goal float64) contest {
	return contest{
		against: "gnet, one loop",
		rows:    []row{{name: fmt.Sprintf("echo-loop-%d", connections), unit: "round trips/s", figure: figures.perSecond, goal: goal}},
		ours:    echoRole("loops", 1, connections, 64),
		theirs:  echoRole("gnet", 1, connections, 64),
	}
}

func echoLoopsLimit(connections int) contest {
	return contest{
		against: "the same in C on liburing",
		rows:    []row{{name: fmt.Sprintf("echo-limit-%d", connections), unit: "round trips/s", figure: figures.perSecond, goal: 0.88}},
		ours:    echoRole("loops", 1, connections, 64),
		theirs:  echoLimit(connections, 64),
	}
}

// echoConns is messages on so many connections with a goroutine each.
func echoConns(name string, connections, bytes int, goal float64) contest {
	return contest{
		against: "net.Conn",
		rows:    []row{{name: name, unit: "round trips/s", figure: figures.perSecond, goal: goal}},
		ours:    echoRole("rnet", 0, connections, bytes),
		theirs:  echoRole("net", 0, connections, bytes),
	}
}

// onWindows is a Windows program's work, under Wine where this is no Windows.
func onWindows(name, against string, r role) contest {
	r.Windows = true
	ours, theirs := r, r
	ours.Engine, theirs.Engine = "ringport", "go-winio"
	return contest{
		against: against,
		rows: []row{
			{name: name, unit: "operations/s", figure: figures.perSecond, goal: 1.0},
			{name: name + "-allocs", unit: "allocations an operation", figure: figures.allocations, atMost: true},
		},
		ours:   sideOf(ours),
		theirs: sideOf(theirs),
	}
}
