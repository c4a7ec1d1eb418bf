package ringport

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/process"
)

// RunCmd runs cmd as cmd.Run does, through the manager, and ends it when ctx ends: it calls cmd.Cancel if there is one
// ([exec.CommandContext] sets it), else it kills the process. It always returns, even if a descendant of the process lives on and holds a
// pipe open: once the process is over and ctx has ended, what the pipes hold is read, and nothing more is waited for. It leaves no zombie,
// no descriptor and no goroutine behind, but for the one below.
//
// The fields of cmd mean what package exec says. Beyond that:
//
//   - WaitDelay, if it is not 0, is how long after the end of ctx, or of the process, the process is killed and its pipes are left. A
//     Cancel that only asks the process to end needs one: without, RunCmd waits as long as the process takes. Without a WaitDelay, and
//     while ctx has not ended, pipes are read to their end.
//   - Stdin, Stdout and Stderr that are an *os.File or a *[File] are given to the process itself. (Windows: a File only if its handle was
//     not opened for overlapped I/O. Else it is copied, and on a caller-driven manager it is [ErrUnsupported].) Others are read and
//     written on a goroutine each, as package exec does it.
//   - A Stdout or Stderr whose Write does not return holds RunCmd up, as it does package exec.
//   - A Stdin whose Read waits when all else is over holds up nobody: it is left to its goroutine, which ends when Read returns. What it
//     has read then is lost.
//   - Cancel may be set only on what exec.CommandContext has made: else cmd.Start refuses it. Give it the same ctx as RunCmd.
//   - The context of exec.CommandContext, if it is another than ctx, ends the command in the same way. The error is cmd.Wait's then, which
//     does not tell of it: a bare *[exec.ExitError] if the process was killed.
//
// The error is cmd.Start's if the process was not started, and an *[exec.ExitError] if it failed by itself. If ctx has ended it, the error
// is an *[OpError] that matches the context's error and cause, and in which errors.As finds the ExitError of a process that was killed.
// Output that was left since WaitDelay had passed is exec.ErrWaitDelay. A Close of the manager kills the command: ErrManagerClosed. A
// process that can't be killed lives on, and the error says why: EPERM of one that has become another user's.
//
// RunCmd waits for the manager. So it waits for ever, whatever becomes of ctx, in callbacks that keep all workers of a threaded manager busy
// (Config.MaxWorkers). On a caller-driven one it steps meanwhile, and a callback of such a step that panics or calls runtime.Goexit kills the
// command; RunCmd is left when that is over.
func (m *Manager) RunCmd(ctx context.Context, cmd *exec.Cmd) error { return m.runCmd(ctx, cmd, nil) }

// RunCmdTree is [Manager.RunCmd] for cmd with all its descendants: where RunCmd would kill the process, this kills them all, those
// included that outlive a process that Cancel has ended. If cmd ends by itself, in time, they are left alone.
//
// On Unix the process leads a process group of its own. Descendants that leave it (setsid, setpgid) are not found. A terminal's Ctrl-C does
// not reach it, and reading from the terminal stops it, since another group is in the foreground. SysProcAttr must not give it
// another group (EINVAL). On Windows they are in a job, which none can leave. See kill(2), TerminateJobObject.
func (m *Manager) RunCmdTree(ctx context.Context, cmd *exec.Cmd) error {
	tree, err := process.NewTree()
	if err != nil {
		return runError(cmd, err)
	}
	defer tree.Close()
	return m.runCmd(ctx, cmd, tree)
}

func runError(cmd *exec.Cmd, err error) error { return &OpError{Op: "run", Name: cmd.Path, Err: err} }

// command is a call of RunCmd. What happens to it comes as functions through events, and runs on the goroutine of the call, so that
// nothing else is locked. On a caller-driven manager that goroutine is the owner, which steps meanwhile.
type command struct {
	m         *Manager
	ctx       context.Context
	cmd       *exec.Cmd
	tree      *process.Tree // nil: only the process is killed
	cancel    func() error  // cmd.Cancel, called once; nil: it is killed
	giveBack  func()        // makes cmd.Cancel and cmd.WaitDelay what they were
	waitDelay time.Duration
	events    chan func()

	exit   *process.Exit
	waits  Op // for exit
	late   *Timeout
	pipes  commandPipes
	copies context.Context // its end ends the copying
	stop   context.CancelFunc

	interrupted atomic.Bool // Cancel or kill was called, and did not come too late
	exited      bool        // the process is over
	ended       bool        // a context has ended, or the manager
	passed      bool        // WaitDelay has passed
	killed      bool        // kill was called
	immune      bool        // it could not be killed, and is not waited for any more
	broken      bool        // so is the driver: no step works
	cut         bool        // an output was left before its end
	cause       error       // why ctx or the manager ended
	failure     error       // the first error of Cancel, of killing, or of copying
}

// eventsMax is more than there can be at a time, or after the call: one of the process's end, of each context's, of the delay; and of each
// of three streams its end, an operation to start and one to cancel.
const eventsMax = 16

func (m *Manager) runCmd(ctx context.Context, cmd *exec.Cmd, tree *process.Tree) error {
	if ctx.Err() != nil {
		return runError(cmd, ctxend.Cause(ctx))
	}
	if err := m.own(); err != nil {
		return runError(cmd, err)
	}
	if m.closing() {
		return runError(cmd, ErrManagerClosed)
	}
	c := &command{m: m, ctx: ctx, cmd: cmd, tree: tree, events: make(chan func(), eventsMax), giveBack: func() {}}
	c.copies, c.stop = context.WithCancel(context.Background())
	defer c.stop()
	if err := c.start(); err != nil {
		c.giveBack()
		return err
	}
	defer c.exit.Close()
	defer context.AfterFunc(ctx, func() { c.post(func() { c.end(ctxend.Cause(ctx)) }) })()
	return c.drive()
}

// drive goes on until all is over. A callback that a step runs may not return (panic, runtime.Goexit): then nobody waits for the command any more,
// which is killed, but what is in flight for it must come back.
func (c *command) drive() error {
	over := false
	defer func() {
		if over || c.broken {
			return
		}
		c.passed = true
		c.settle()
		c.drive()
	}()
	for !c.exited || c.pipes.outputs > 0 {
		c.next()()
	}
	c.stop() // what is left is the input, which nobody reads any more
	for c.pipes.feeding(c.m) {
		c.next()()
	}
	over = true
	if c.late != nil {
		c.late.Stop()
	}
	if c.tree != nil && !c.immune && (c.interrupted.Load() || c.cut) {
		if err := c.tree.Kill(); err != nil { // who has outlived the process
			c.fail(err)
		}
	}
	return c.result()
}

// post leaves f to the goroutine of the call.
func (c *command) post(f func()) {
	c.events <- f
	if !c.m.shared {
		c.m.poke()
	}
}

// next waits for something to happen.
func (c *command) next() func() {
	for !c.m.shared && !c.m.loop.released {
		select {
		case f := <-c.events:
			return f
		default:
		}
		if _, err := c.m.round(-1); err != nil {
			c.broken = true
			panic("ringport: " + c.m.drv.Name() + " failed: " + err.Error()) // as on a threaded manager
		}
	}
	return <-c.events
}

// start starts the process with its pipes, and waits for its end. The fields of cmd are changed for package exec meanwhile.
func (c *command) start() error {
	cmd := c.cmd
	stdin, stdout, stderr, attr := cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr
	defer func() { cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = stdin, stdout, stderr, attr }()
	if c.tree != nil {
		var err error
		if cmd.SysProcAttr, err = c.tree.Prepare(attr); err != nil {
			return runError(cmd, err)
		}
	}
	c.takeCancel()
	err := c.pipes.open(c)
	if err != nil {
		err = runError(cmd, err)
	} else {
		err = cmd.Start()
	}
	c.pipes.closeChilds()
	if err != nil {
		c.pipes.closeOurs(c.m)
		return err
	}
	if c.tree != nil {
		err = c.tree.Started(cmd.Process)
	}
	if err == nil {
		c.exit, err = process.Open(cmd.Process.Pid)
	}
	if err != nil {
		c.pipes.closeOurs(c.m)
		cmd.Process.Kill() // with a tree too: it is one process so far, and perhaps suspended
		cmd.Wait()
		return runError(cmd, err)
	}
	c.waits = pollExit(c.exit)
	c.waits.Named("process " + strconv.Itoa(cmd.Process.Pid))
	if err := c.m.Start(&c.waits, func(op *Op) {
		_, err := op.Result()
		c.post(func() { c.over(err) })
	}); err != nil {
		c.post(func() { c.over(err) })
	}
	c.pipes.copy(c)
	return nil
}

// takeCancel puts a function of ours in the place of cmd.Cancel. Package exec calls it at the end of cmd's own context, if that comes
// before the end of cmd.Wait, and leaves WaitDelay to us.
func (c *command) takeCancel() {
	c.waitDelay = c.cmd.WaitDelay
	cancel := c.cmd.Cancel
	if cancel == nil {
		return
	}
	c.cancel = sync.OnceValue(func() error {
		c.interrupted.Store(true) // before the process can be over
		err := cancel()
		if errors.Is(err, os.ErrProcessDone) {
			c.interrupted.Store(false)
		}
		return err
	})
	c.cmd.Cancel = func() error {
		err := c.cancel()
		c.post(func() { c.end(nil) })
		return err
	}
	c.cmd.WaitDelay = 0
	c.giveBack = func() { c.cmd.Cancel, c.cmd.WaitDelay = cancel, c.waitDelay }
}

// over is called when the process is over, or can't be waited for any more since the manager is closed.
func (c *command) over(err error) {
	if err != nil && !c.immune {
		c.cause, c.ended = errors.Unwrap(err), true
		c.kill()
	}
	c.exited = true // or soon
	c.delay()
	c.settle()
}

// end is called when a context has ended: RunCmd's, for the cause, or cmd's own, at whose end Cancel was called.
func (c *command) end(cause error) {
	if c.cause == nil {
		c.cause = cause
	}
	c.ended = true
	if !c.exited && c.cancel == nil {
		c.kill()
	} else if !c.exited {
		if err := c.cancel(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			c.fail(err)
		}
	}
	c.delay()
	c.settle()
}

// delay lets WaitDelay begin, unless it has.
func (c *command) delay() {
	if c.waitDelay != 0 && c.late == nil { // a negative one has passed, as package exec has it
		c.late = c.m.AfterFunc(c.waitDelay, func() {
			c.post(func() {
				c.passed = true
				c.settle()
			})
		})
	}
}

// settle does what is due by now.
func (c *command) settle() {
	enough := c.passed || c.ended && c.waitDelay == 0
	if c.passed && !c.exited {
		c.kill()
	}
	if enough && c.exited {
		c.cut = c.cut || c.pipes.outputs > 0
		c.stop()
	}
}

// kill ends the process, or the tree. The process's status has not been taken yet, so that its number is nobody else's.
func (c *command) kill() {
	if c.killed {
		return
	}
	c.killed = true
	c.interrupted.Store(true)
	kill := func() error { return process.Kill(c.cmd.Process) }
	if c.tree != nil {
		kill = c.tree.Kill
	}
	if err := kill(); err != nil && !c.exit.Over() { // some systems refuse it for what is over
		c.fail(err)
		c.immune = true
		c.m.Cancel(&c.waits)
		c.stop()
	}
}

func (c *command) fail(err error) {
	if c.failure == nil {
		c.failure = err
	}
}

// result takes the process's status, which is there or will be at once, and says how it all ended.
func (c *command) result() error {
	var err error
	if c.immune {
		go c.cmd.Wait() // until it ends; cmd is its from now on
		err = c.failure
	} else {
		err = c.cmd.Wait() // waits for a call of Cancel too
		c.giveBack()
	}
	cause := c.cause
	if cause == nil && c.ctx.Err() != nil {
		cause = ctxend.Cause(c.ctx) // cmd's own context is the same, and was heard of sooner
	}
	if cause != nil && (c.interrupted.Load() || c.cut) {
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			cause = &endedError{cause, err}
		case c.failure != nil:
			cause = &endedError{cause, c.failure}
		}
		return runError(c.cmd, cause)
	}
	switch {
	case err != nil:
		return err
	case c.failure != nil:
		return c.failure
	case c.cut:
		return exec.ErrWaitDelay
	}
	return nil
}

// endedError is why a command was ended, and how that went.
type endedError struct{ cause, exit error }

func (e *endedError) Error() string   { return e.cause.Error() + " (" + e.exit.Error() + ")" }
func (e *endedError) Unwrap() []error { return []error{e.cause, e.exit} }
