//go:build unix

package driver

import "syscall"

// DontWait, a flag of requests on sockets, is MSG_DONTWAIT.
const DontWait = syscall.MSG_DONTWAIT
