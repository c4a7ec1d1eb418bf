package main

import (
	"runtime"
	"time"
)

// meter measures time, and this process's CPU and allocations.
type meter struct {
	start, cpu  time.Duration
	allocations uint64
}

func startMeter() meter {
	m := meter{allocations: allocations(), cpu: cpuTime()}
	m.start = now()
	return m
}

func (m meter) elapsed() time.Duration { return now() - m.start }

func (m meter) stop(operations int64) figures {
	f := figures{Operations: float64(operations), Seconds: m.elapsed().Seconds(), CPUSeconds: (cpuTime() - m.cpu).Seconds()}
	f.Allocations = float64(allocations() - m.allocations)
	return f
}

// allocations is how often this process has allocated memory on the heap.
func allocations() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}
