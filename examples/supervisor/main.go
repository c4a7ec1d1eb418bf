// Supervisor runs commands and starts those again that fail, until all have succeeded or it is told to stop:
//
//	go run ./examples/supervisor -- web -addr :8080 -- worker -v
//
// A command that fails is started again after a pause, which doubles from failure to failure and is short again once the command has run
// for a minute. Ctrl-C, or SIGTERM, stops all of them with everything that they have started: they are asked first, and killed after the
// time that -grace gives them. Nothing holds that up: not one that ignores the signal, nor one of their descendants that keeps a pipe open.
//
// The exit status is 0 if all commands have succeeded, 1 if they were stopped, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

func main() {
	s := supervisor{output: os.Stdout}
	flag.DurationVar(&s.pause, "pause", 100*time.Millisecond, "how long it waits after a first failure")
	flag.DurationVar(&s.grace, "grace", 5*time.Second, "how long commands may take to end when they are asked to; more than 0")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: supervisor [-pause 100ms] [-grace 5s] -- command [argument ...] [-- command ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	commands, ok := split(flag.Args())
	if !ok || s.pause <= 0 || s.grace <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	m, err := ringport.Default()
	if err != nil {
		log.Fatal(err)
	}
	s.m, s.log = m, log.New(os.Stderr, "", log.Ltime)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx, commands); err != nil {
		s.log.Fatal(err)
	}
}

// split splits arguments into commands, at each "--".
func split(args []string) (commands [][]string, ok bool) {
	for len(args) > 0 {
		end := slices.Index(args, "--")
		if end < 0 {
			end = len(args)
		}
		if end == 0 {
			return nil, false
		}
		commands = append(commands, args[:end])
		args = args[min(end+1, len(args)):]
	}
	return commands, len(commands) > 0
}

type supervisor struct {
	m            *ringport.Manager // threaded
	output       io.Writer         // the commands'
	log          *log.Logger
	pause, grace time.Duration
}

// run runs all commands until each has succeeded or ctx ends, and returns when none is left. The error is ctx's.
func (s *supervisor) run(ctx context.Context, commands [][]string) error {
	var all sync.WaitGroup
	output := &lockedWriter{w: s.output}
	for _, c := range commands {
		all.Go(func() { s.keep(ctx, c, output) })
	}
	all.Wait()
	return context.Cause(ctx)
}

// keep runs one command until it has succeeded or ctx ends.
func (s *supervisor) keep(ctx context.Context, command []string, output io.Writer) {
	const longest, calm = 30 * time.Second, time.Minute
	for pause := s.pause; ; pause = min(2*pause, longest) {
		began := time.Now()
		err := s.once(ctx, command, output)
		if time.Since(began) > calm {
			pause = s.pause
		}
		if err == nil {
			s.log.Printf("%s: done", command[0])
			return
		}
		if ctx.Err() != nil {
			s.log.Printf("%s: stopped: %v", command[0], err)
			return
		}
		s.log.Printf("%s: %v; again in %v", command[0], err, pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// once runs a command once, with all that it starts.
func (s *supervisor) once(ctx context.Context, command []string, output io.Writer) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Cancel = func() error {
		if runtime.GOOS == "windows" { // where nothing can be asked of a process in general
			return cmd.Process.Kill()
		}
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.WaitDelay = s.grace
	err := s.m.RunCmdTree(ctx, cmd)
	if errors.Is(err, exec.ErrWaitDelay) { // it has succeeded, and left others behind, who are gone too by now
		err = nil
	}
	return err
}

// lockedWriter lets one command at a time write.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}
