//go:build linux || windows

package ringport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

// manyCommand is one of those that TestRunCmd_Many runs.
type manyCommand struct {
	script string
	says   string // first; what begins with % is a number
	ends   bool   // it and all that holds its pipes end by themselves
}

// TestRunCmd_Many runs a thousand commands that hang, or leave the pipe to others, and cancels them at random: all return, and nothing
// is left of them. (Under Wine fewer: to start and to end one takes 80 ms.)
func TestRunCmd_Many(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		total, atOnce := manyCount()
		total = lessUnderRace(total)
		if c.CallerDriven { // one goroutine runs them one after the other
			total, atOnce = total/4, 1
		}
		m := open(t, c)
		known, check := goroutines(), leftOfProcesses(t)
		random := rand.New(rand.NewPCG(testSeed(t), 0))
		r := manyRun{m: m, mark: fmt.Sprintf("RINGPORT_TEST_MARK=%d.%d", os.Getpid(), random.Uint64())}
		jobs := make(chan manyJob, total)
		for range total {
			jobs <- manyJob{manyScripts[random.IntN(len(manyScripts))], random.IntN(2) == 0, random.IntN(4) == 0,
				time.Duration(random.IntN(5)) * time.Millisecond}
		}
		close(jobs)
		work := func() {
			for j := range jobs {
				if err := r.run(t, j); err != nil {
					t.Errorf("%q, tree %v, at once %v: %v", j.script, j.tree, j.instant, err)
				}
			}
		}
		if c.CallerDriven {
			work()
		} else {
			var all sync.WaitGroup
			for range atOnce {
				all.Go(work)
			}
			all.Wait()
		}
		// Those that were not to be killed with a tree.
		t.Logf("%d commands, %d at a time; %d descendants lived on, as they should", total, atOnce, killMarked(r.mark, r.outputs))
		if err := patience.Until(func() error {
			return errors.Join(check(), goroutinesOf(known, "ringport.(*command)", "ringport.(*commandPipe)", "internal/process", "os/exec."))
		}); err != nil {
			t.Error(err)
		}
	})
}

// manyRun is one run of many commands.
type manyRun struct {
	m    *Manager
	mark string // in their environment

	mu      sync.Mutex
	outputs []string
}

type manyJob struct {
	manyCommand
	tree    bool
	instant bool // it is cancelled without waiting for what it says
	delay   time.Duration
}

// run runs a command, cancels it, and checks what came of it.
func (r *manyRun) run(t *testing.T, j manyJob) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := j.command(t)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, r.mark)
	out := onLine(func(string) { time.AfterFunc(j.delay, cancel) })
	cmd.Stdout = out
	in, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	defer w.Close() // afterwards: the input waits
	fmt.Fprintln(w, "input")
	cmd.Stdin = struct{ *os.File }{in} // not to be given to the process
	if j.instant {
		time.AfterFunc(j.delay, cancel)
	}
	err = run(r.m, j.tree, ctx, cmd)
	got := out.String()
	r.mu.Lock()
	r.outputs = append(r.outputs, got)
	r.mu.Unlock()
	canceled := errors.Is(err, context.Canceled)
	whole := got == j.says || strings.HasPrefix(j.says, "%") && strings.HasSuffix(got, "\n")
	switch {
	case !whole && !(j.instant && canceled): // perhaps before it said anything
		return fmt.Errorf("it said %q: %w", got, err)
	case !canceled && !j.ends:
		return fmt.Errorf("it ended with %w", err)
	case !canceled && err != nil && !errors.As(err, new(*exec.ExitError)):
		return err
	}
	return nil
}
