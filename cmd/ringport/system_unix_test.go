//go:build unix

package main

import (
	"os/exec"
	"syscall"
	"testing"

	"github.com/ringport/ringport"
)

// What this system says in its own way.
const (
	howKilled        = "signal: killed"
	coarseCPU        = false // processor time is counted in ticks so long that a short round may see none
	namedBackend     = ringport.BackendPool
	systemEngineNote = "pool: backend pool (chosen by Config.Backend)"
)

// errNotThere is what opening a name that is not there fails with.
const errNotThere = syscall.ENOENT

// signals are those that end the command in good order.
var signals = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}

// interruptible puts a command that is not started into a process group of its own.
func interruptible(t *testing.T, cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		if cmd.Process != nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
}

// interrupt sends SIGINT to a command and all processes that it has started, as a terminal does, and other signals to it alone.
func interrupt(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	to := cmd.Process.Pid
	if signal == syscall.SIGINT {
		to = -to
	}
	if err := syscall.Kill(to, signal); err != nil {
		t.Fatal(err)
	}
}

// wantEnded checks that no process is left of a command.
func wantEnded(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("a process is left (%v)", err)
	}
}
