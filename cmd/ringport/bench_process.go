package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// stopPatience is how long an engine may take to end a round when it is told to: a disk that hangs must not hang bench.
const stopPatience = 10 * time.Second

// engineProcess is bench's side of an engine.
type engineProcess struct {
	name    string
	info    engineInfo
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *json.Encoder
	replies chan engineReply // closed when the process says no more
	stderr  bytes.Buffer
	hangs   bool // in the kernel, where a kill may not reach it either
}

// startEngine starts an engine's process and waits until it is ready.
func startEngine(ctx context.Context, spec engineSpec, file *benchFile) (*engineProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program to start engine %s: %w", spec.Engine, err)
	}
	p := &engineProcess{name: spec.Engine, cmd: exec.Command(self, engineCommandName), replies: make(chan engineReply)}
	p.cmd.Stderr = &p.stderr
	spec.File = file.handOver(p.cmd)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start engine %s: %w", spec.Engine, err)
	}
	p.out = json.NewEncoder(p.in)
	go p.read(stdout)
	if p.out.Encode(spec) != nil {
		p.end()
		return nil, p.failure(engineReply{})
	}
	select {
	case r := <-p.replies:
		if r.Ready == nil {
			p.end()
			return nil, p.failure(r)
		}
		p.info = *r.Ready
		return p, nil
	case <-ctx.Done():
		p.end()
		return nil, context.Cause(ctx)
	}
}

// read passes replies on.
func (p *engineProcess) read(stdout io.Reader) {
	defer close(p.replies)
	for dec := json.NewDecoder(stdout); ; {
		var r engineReply
		if dec.Decode(&r) != nil {
			return
		}
		p.replies <- r
	}
}

// failure is why a process did not answer as it should: what it says, or its last words.
func (p *engineProcess) failure(r engineReply) error {
	if r.Failure != "" {
		if r.Usage {
			return usagef("%s", r.Failure)
		}
		return fmt.Errorf("engine %s: %s", p.name, r.Failure)
	}
	words, _, _ := strings.Cut(strings.TrimSpace(p.stderr.String()), "\n")
	if words == "" {
		words = p.cmd.ProcessState.String()
	}
	return fmt.Errorf("engine %s ended: %s", p.name, words)
}

// round runs a round and returns its result. When ctx ends, the round is ended early, and the result is of what was done;
// the engine is good for nothing after that.
func (p *engineProcess) round(ctx context.Context, how roundSpec, tick func(sample)) (*roundResult, *hdrhistogram.Histogram, error) {
	if err := p.out.Encode(engineCommand{Round: &how}); err != nil {
		p.end()
		return nil, nil, p.failure(engineReply{})
	}
	done := ctx.Done()
	var expired <-chan time.Time
	for {
		select {
		case <-done:
			done, expired = nil, time.After(stopPatience)
			p.out.Encode(engineCommand{Stop: true}) // if it fails, the process has ended, which replies will say
		case <-expired:
			p.hangs = true
			p.cmd.Process.Kill()
			return nil, nil, fmt.Errorf("engine %s did not stop within %v", p.name, stopPatience)
		case r := <-p.replies:
			switch {
			case r.Tick != nil:
				tick(*r.Tick)
			case r.Result != nil:
				h, err := hdrhistogram.Decode(r.Result.Latencies)
				return r.Result, h, err
			default:
				p.end()
				return nil, nil, p.failure(r)
			}
		}
	}
}

// end lets the process end, and waits for that.
func (p *engineProcess) end() error {
	p.in.Close()
	if p.hangs {
		return nil
	}
	defer time.AfterFunc(stopPatience, func() { p.cmd.Process.Kill() }).Stop()
	for range p.replies { // Wait closes the pipe, so that all must be read first
	}
	return p.cmd.Wait()
}
