// Package clock is the clock that the project measures and waits by: monotonic, and as fine as the system has one.
package clock
