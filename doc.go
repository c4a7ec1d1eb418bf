// Package ringport is an asynchronous I/O manager. It starts an operation on a handle, lets the operating system do it, and
// delivers its completion exactly once: to a blocked goroutine, or to a callback. Files, pipes, terminals and timeouts go
// through one [Manager], and a context ends every wait.
//
// # Files
//
// [Manager.OpenFile] gives a [File], which is used like an os.File. Its reads and writes go through the manager: many
// goroutines that read a disk share one submission queue instead of a thread each, and [File.WithContext] gives a view of
// the file whose Read, Write and so on end when a context does, for whatever takes an io.Reader:
//
//	f, err := m.Open(ctx, "/dev/ttyUSB0")
//	…
//	scanner := bufio.NewScanner(f.WithContext(ctx))
//
// # Operations
//
// Under File are operations: values of type [Op], made by constructors like [Read], [Fsync] or [OpenAt], and reusable. There
// are three ways to wait for one:
//
//	op := ringport.Read(h, buf, off)
//	n, err := m.Do(ctx, &op)                           // block this goroutine
//	err = m.Start(&op, func(op *ringport.Op) { … })    // be called back
//	m.Cancel(&op)                                      // ask; the result still comes through Do or the callback
//
// From its start to its completion an Op and its buffers belong to the manager. Cancelling, by hand, by a context or by Close,
// asks the system to stop and waits for what became of it: data that moved is delivered, else the error says why.
//
// [Manager.DoChain] and [Manager.StartChain] run several operations one after the other as one submission.
//
// [Manager.Watch] calls a function whenever a handle is ready, for as long as it is wanted.
//
// # Connections
//
// [Socket], [Connect], [AcceptMany], [Recv], [Send] and the like are operations on sockets. Package rnet has package net's connections and
// listeners on a manager, package ipc those between programs on one machine.
//
// # Processes
//
// [Manager.WaitProcess] waits for the end of a process, [Manager.RunCmd] and [Manager.RunCmdTree] run an exec.Cmd: they end with the
// context, with all the command's descendants if asked to, and return whoever still holds its pipes.
//
// # Directories
//
// [Manager.WatchDir] is a loop over what changes in a directory.
//
// # Two ways to drive a manager
//
// A threaded manager ([New] with a zero [Config], or [Default]) has workers that wait for completions and run callbacks.
// A caller-driven one has no goroutine and no lock: its owner calls [Manager.Step], which submits what is queued, waits,
// and runs callbacks and timeouts, with one system call for all of it. It is the fastest way, and with [Manager.Pollable] and
// [Manager.NextTimeout] the way to live inside another event loop.
//
// # Backends
//
// On Linux the manager uses io_uring; where that is not permitted or not there, and on other Unix systems, a pool of threads
// with the same behaviour. On Windows it uses I/O completion ports. [Stats] says which, and why. docs/how-it-works.md explains the
// rest, docs/semantics.md where operations differ between systems.
package ringport
