//go:build unix

package ringport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os/exec"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

// A command is ended when it has said that it has started. It has left a process behind that holds its output open, which package exec would
// wait for; here both are killed, and what was said by then is there.
func ExampleManager_RunCmdTree() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.Command("/bin/sh", "-c", "sleep 600 & echo started; wait")
	out, in := io.Pipe()
	defer in.Close()
	cmd.Stdout = in
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Println(lines.Text())
			cancel()
		}
	}()
	err = m.RunCmdTree(ctx, cmd)
	fmt.Println(errors.Is(err, context.Canceled), cmd.ProcessState)
	// Output:
	// started
	// true signal: killed
}

// A command is asked to end, and has a minute for that, before it is killed. What it has started itself is killed in any case.
func ExampleManager_RunCmdTree_graceful() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "trap 'echo saved; exit 0' TERM; sleep 600 >/dev/null & echo started; wait")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	out, in := io.Pipe()
	cmd.Stdout = in
	go func() {
		defer in.Close()
		err := m.RunCmdTree(ctx, cmd)
		fmt.Fprintln(in, errors.Is(err, context.Canceled), cmd.ProcessState)
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Println(lines.Text())
		cancel() // it has started
	}
	// Output:
	// started
	// saved
	// true exit status 0
}

// A wait for a process ends with its context; the process goes on, and another wait gets its status.
func ExampleManager_WaitProcess() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	cmd := exec.Command("/bin/sh", "-c", "read line; exit 7")
	in, err := cmd.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = m.WaitProcess(ctx, cmd.Process.Pid)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	in.Close()
	status, err := m.WaitProcess(context.Background(), cmd.Process.Pid)
	fmt.Println(status, err)
	cmd.Process.Release()
	// Output:
	// true
	// exit status 7 <nil>
}
