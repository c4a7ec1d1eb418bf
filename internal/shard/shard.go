// Package shard has a counter that goroutines on different processors can add to without waiting for each other.
package shard

import (
	"sync/atomic"
	"unsafe"
)

const shards = 64 // a power of two

// Counter is a sum kept in parts, each on cache lines of its own. The zero value is ready.
type Counter struct {
	parts [shards]struct {
		n atomic.Int64
		_ [120]byte // two cache lines: processors fetch them in pairs
	}
}

// Add adds one. Goroutines are spread over the parts by where their stacks are, so that two busy ones seldom share a part.
func (c *Counter) Add() {
	var here byte
	// Rule: only the number is used, never as an address; a stack that moves changes the part and not the sum.
	c.parts[uintptr(unsafe.Pointer(&here))>>12%shards].n.Add(1)
}

// Load returns the sum.
func (c *Counter) Load() int64 {
	var n int64
	for i := range c.parts {
		n += c.parts[i].n.Load()
	}
	return n
}
