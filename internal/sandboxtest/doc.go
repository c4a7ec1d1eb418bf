// Package sandboxtest takes io_uring, or other system calls, away from a process, as a container's seccomp profile or an old kernel does, so
// that tests see what ringport does without them.
//
// It is for tests and no boundary against hostile code: a filter that keeps io_uring from a program that looks for ways around it
// has more to say.
package sandboxtest
