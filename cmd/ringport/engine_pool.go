//go:build !windows

package main

import "github.com/ringport/ringport"

// systemEngine is the engine that this system alone has.
var systemEngine = engineKind{"pool", "as ringport, on its pool of threads", openPool}

// osFileNote is what the user should know of engine osfile.
const osFileNote = ""

func openPool(spec *engineSpec) (engine, error) {
	return openManaged(spec, ringport.Config{Backend: ringport.BackendPool, MaxThreads: max(64, spec.Depth)})
}
