package main

import "fmt"

// engine is one way to do the work. It is opened, run and closed by one goroutine of a process of its own.
type engine interface {
	// run works until r.more says no, and returns when the last operation is done. An error means that it cannot go on.
	run(r *round) error
	// about says what is below it.
	about() engineInfo
	close() error
}

// engineInfo is what an engine found when it was opened.
type engineInfo struct {
	Backend string // of ringport; empty for the others
	Why     string // why this backend
	Note    string // what else the user should know
}

// engineKind is an entry of the table of engines.
type engineKind struct {
	name  string
	short string
	open  func(spec *engineSpec) (engine, error)
}

// engineKinds are all engines, in the order of the table that bench prints. The first is what the others are compared with.
var engineKinds = []engineKind{
	{baseline, "goroutines on os.File", openOSFile},
	{"ringport", "goroutines, blocking calls through ringport", openRingport},
	{"loop", "one goroutine that drives a ringport manager by itself", openLoop},
	systemEngine,
}

// baseline is the engine that ratios refer to.
const baseline = "osfile"

func engineNames() (names []string) {
	for _, k := range engineKinds {
		names = append(names, k.name)
	}
	return names
}

func openEngine(spec *engineSpec) (engine, error) {
	for _, k := range engineKinds {
		if k.name == spec.Engine {
			return k.open(spec)
		}
	}
	return nil, fmt.Errorf("unknown engine %q", spec.Engine)
}
