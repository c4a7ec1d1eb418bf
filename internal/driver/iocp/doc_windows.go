// Package iocp is the Windows driver: an I/O completion port behind the contract of the driver package.
//
// # Where a request is carried out
//
// A transfer on an attached handle is an overlapped call, and its packet comes to the driver's port. What the system can't do
// overlapped runs on a goroutine that blocks its thread meanwhile: flushes, paths, transfers at a file's own position, and all
// transfers on handles that can't be attached because they were opened without FILE_FLAG_OVERLAPPED or belong to another port.
// They share bounded sets of such goroutines, and queue behind that, first in, first out: those that end by themselves one
// (Options.MaxThreads); those that may wait for somebody else one for reads and polls, one for writes and flushes, and one for Overlapped's calls,
// so that what is waited for has not to wait for a thread behind what waits. They post their result to the port, so that Wait has one place
// to look.
//
// A transfer of several buffers is one call in any case: of their pages as they are, if ReadFileScatter and WriteFileGather take them
// (unbuffered files, whole pages), else of a buffer that the block keeps for that.
//
// A Poll of what is signalled (events, processes, consoles) takes neither: signal_windows.go.
//
// # Sockets
//
// A socket's overlapped call may be one of several that a request takes (call, goesOn, socketResult): a receive into a buffer that is picked when there is
// something waits first, one that is to fill its buffers goes on, an accept whose peer has left tries again. Each is made when the packet of
// the one before it is taken in, by whoever is in Wait; none of them waits. On sockets that belong to another port, package net's, a worker makes the same calls.
//
// # Blocks
//
// Each request in flight has a block, which begins with its OVERLAPPED. Blocks are pinned, pooled and never given back to the
// collector before Close; a block refers to its request, and so to the buffers, which are pinned as well, until the original
// completion has arrived, cancelled or not. A packet is looked up by the address of its OVERLAPPED, never followed: somebody else
// may have started a call of his own on a handle of this port.
//
// # Exactly once
//
// When the system answers a call at once, it is not always clear whether a packet follows. Success: one follows, unless the
// handle was told otherwise (FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, set for files and named pipes where that works, and not for
// directories, where a success may be of a call in progress). Failure: none
// follows on Windows, but Wine posts one for some failures on files and devices. Warning (ERROR_MORE_DATA): the documentation
// doesn't say. Where there is doubt, the driver posts a packet of its own, behind whatever the call may have posted, since a port is
// first in, first out. Only that one brings the request back and frees the block; another that arrives before it is ignored. So
// no stale packet can ever meet a block in its next life.
//
// # What a cancel does
//
// CancelIoEx for an overlapped call, CancelSynchronousIo for a blocking one, repeated until it has ended, since such a cancel finds nothing
// until the thread is in the call. A request that waits for a thread, or for another to let go of a file's position, comes back at once. In every
// case the driver then waits for the call's own result, and delivers data if data moved. If no packet comes, since the handle is not the one that
// was attached, the status in the OVERLAPPED tells (unanswered_windows.go). A read of a console is never cancelled, but ended by a key
// (console_windows.go).
//
// # A start function that does not return
//
// Nobody knows whether it had made its call. If CancelIoEx finds one, a packet will come, and until then the block keeps everything that the call was
// given; Close waits for that. If it finds none, there was none or it is over. Either way the request is back with an error, and the block has no
// new life before a packet for it has come.
package iocp

// Name is the backend's name in configuration, statistics and errors.
const Name = "iocp"
