// Deny runs a command that can't use io_uring, nor can what it starts:
//
//	go run ./internal/sandboxtest/deny -errno EPERM -- command arguments
//
// It is a wrapper for test binaries too:
//
//	go build -o deny ./internal/sandboxtest/deny
//	go test -exec "$PWD/deny -errno ENOSYS --" ./...
//
// The command takes this process over, with its streams, signals and exit status. Exit codes of its own: 1 if io_uring can't be
// denied or the command can't be run, 2 for wrong usage.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/ringport/ringport/internal/sandboxtest"
)

// errnos are what a system answers without io_uring: forbidden, or unknown to the kernel.
var errnos = map[string]syscall.Errno{"EPERM": syscall.EPERM, "ENOSYS": syscall.ENOSYS}

func main() {
	name := flag.String("errno", "EPERM", "what io_uring's system calls answer: EPERM or ENOSYS")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: deny [-errno EPERM|ENOSYS] [--] command [argument ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	errno, known := errnos[*name]
	if !known || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "deny:", run(errno, flag.Args()))
	os.Exit(1)
}

// run becomes the command; it returns only if it can't.
func run(errno syscall.Errno, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	if err := sandboxtest.Deny(errno); err != nil {
		return err
	}
	return &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, command, os.Environ())}
}
