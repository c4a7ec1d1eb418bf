//go:build !linux && !darwin && !freebsd

package main

// limits are none that are known.
func limits() []limit { return []limit{} }
