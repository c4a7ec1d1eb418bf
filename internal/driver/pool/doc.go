// Package pool is the portable driver: a bounded set of threads behind the contract of the driver package, for systems
// without io_uring and for processes that may not use it.
//
// # Threads
//
// A blocking call runs on a worker, a goroutine that blocks one thread meanwhile. A request that finds all of them busy
// starts another one, up to Options.MaxThreads, and queues, first in, first out, behind that. A worker that finds nothing
// queued ends at once: starting a goroutine costs as little as waking a parked one (0.4 µs both), so none is kept, there is
// no timer to shrink the set by, and an idle driver has no worker at all.
//
// # Streams
//
// What may wait for somebody else for ever (pipes, FIFOs, sockets, terminals, other character devices) does not block a
// worker. Its transfer is attempted without blocking, by RWF_NOWAIT or MSG_DONTWAIT, which unlike O_NONBLOCK say nothing
// to those who share the descriptor. If it isn't ready, one poller waits for all such descriptors, and the transfer is
// attempted again. Requests on the same descriptor and in the same direction are carried out one at a time, in order.
//
// A descriptor that knows neither flag (terminals, FIFOs, pipes before Linux 6.4) gets its transfer on a thread once it
// polls ready, a write in pieces that fit then (PIPE_BUF bytes). A competing reader or writer outside of the driver can
// take the readiness away in between, a terminal has room for less, and the call blocks. On Linux a cancel interrupts such a
// call nevertheless, see interrupt_linux.go. Elsewhere it ends only when its peer moves: the one wait that this driver
// can't end. These threads, and those of opens that wait, are not among the workers, so that they hold up no file.
//
// # What a cancel does
//
// A queued request comes back with ErrCanceled and has not run. One that waits in the poller comes back at once, has
// taken no byte, and reports what an interrupted write has moved already. An open of a FIFO ends and leaves no trace on the
// other side (Linux); elsewhere it is released by opening the other end for a moment. Everything that runs on a worker (I/O on
// regular files, fsync, path operations) can't be stopped: it comes back when it is done, with its result.
package pool

// Name is the backend's name in configuration, statistics and errors.
const Name = "pool"
