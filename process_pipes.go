package ringport

import (
	"context"
	"io"
	"os"
	"sync"

	"github.com/ringport/ringport/internal/ctxend"
	"github.com/ringport/ringport/internal/process"
)

// commandPipes are what a command's process has instead of the readers and writers that are no files. The fields are for the goroutine of
// the call.
type commandPipes struct {
	streams []*commandPipe
	childs  []*os.File // the process's ends, and what else is made for it, until it has them
	outputs int        // being copied
}

// commandPipe is one of them: what is copied from r to the pipe, or from the pipe to w.
type commandPipe struct {
	h    Handle // our end
	name string // "stdout of /bin/sh"
	r    io.Reader
	w    io.Writer

	mu      sync.Mutex // over the following, of r
	reading bool       // in r.Read, which nothing ends
	stopped bool       // nobody wants it any more
	done    bool       // for the goroutine of the call: it is copied
}

// open gives the process files for those of its streams that are none.
func (p *commandPipes) open(c *command) error {
	cmd := c.cmd
	if cmd.Stdin != nil {
		f, err := p.file(c, cmd.Stdin, &commandPipe{name: "stdin of " + cmd.Path, r: cmd.Stdin})
		if err != nil {
			return err
		}
		cmd.Stdin = f
	}
	shared := cmd.Stderr != nil && same(cmd.Stdout, cmd.Stderr)
	if cmd.Stdout != nil {
		f, err := p.file(c, cmd.Stdout, &commandPipe{name: "stdout of " + cmd.Path, w: cmd.Stdout})
		if err != nil {
			return err
		}
		cmd.Stdout = f
	}
	if shared { // so that one goroutine at a time writes to it
		cmd.Stderr = cmd.Stdout
	} else if cmd.Stderr != nil {
		f, err := p.file(c, cmd.Stderr, &commandPipe{name: "stderr of " + cmd.Path, w: cmd.Stderr})
		if err != nil {
			return err
		}
		cmd.Stderr = f
	}
	return nil
}

// same reports whether two writers are one, as far as they can be compared.
func same(a, b io.Writer) bool {
	defer func() { recover() }()
	return a == b
}

// file is what the process has for what, which s copies if it has to be.
func (p *commandPipes) file(c *command, what any, s *commandPipe) (*os.File, error) {
	switch f := what.(type) {
	case *os.File:
		return f, nil
	case *File:
		child, ok, err := f.inheritable()
		if ok {
			p.childs = append(p.childs, child)
		}
		if ok || err != nil {
			return child, err
		}
		if !f.m.shared {
			return nil, ErrUnsupported
		}
		if s.r != nil {
			s.r = f.WithContext(c.copies)
		}
	}
	h, child, err := process.Pipe(s.w != nil)
	if err != nil {
		return nil, err
	}
	s.h = h
	p.streams = append(p.streams, s)
	p.childs = append(p.childs, child)
	return child, c.m.guard(func() error { return c.m.drv.Attach(h) })
}

// inheritable is f as a file that a process can have.
func (f *File) inheritable() (child *os.File, ok bool, err error) {
	if err := f.enter("inherit"); err != nil {
		return nil, false, err
	}
	defer f.leave()
	return process.Inheritable(f.h, f.name)
}

func (p *commandPipes) closeChilds() {
	for _, f := range p.childs {
		f.Close()
	}
	p.childs = nil
}

// closeOurs closes our ends, where nothing is copied.
func (p *commandPipes) closeOurs(m *Manager) {
	for _, s := range p.streams {
		m.closeHandle(s.h)
	}
	p.streams = nil
}

// copy starts a goroutine for each stream, since the reader or writer may block it.
func (p *commandPipes) copy(c *command) {
	for _, s := range p.streams {
		if s.w != nil {
			p.outputs++
			go s.run(c, s.copyOut, func(err error) {
				p.outputs--
				if err != nil {
					c.fail(err)
				}
			})
			continue
		}
		go s.run(c, s.copyIn, func(err error) {
			s.done = true
			if err != nil {
				c.fail(err)
			}
		})
	}
}

// run copies, and has then called on the goroutine of the command, unless that has left a reader to itself.
func (s *commandPipe) run(c *command, copy func(c *command, b []byte) error, then func(err error)) {
	b := copyBuffers.Get().(*[]byte)
	err := copy(c, *b)
	copyBuffers.Put(b)
	s.mu.Lock()
	left := s.stopped && s.reading
	s.mu.Unlock()
	if !left {
		c.m.closeHandle(s.h)
		c.post(func() { then(err) })
	}
}

// feeding reports whether the input is still being copied, at the end, when nobody reads it any more. One that waits in its reader's Read is
// left there.
func (p *commandPipes) feeding(m *Manager) bool {
	for _, s := range p.streams {
		if s.r == nil || s.done {
			continue
		}
		s.mu.Lock()
		left := s.reading
		s.stopped = true
		s.mu.Unlock()
		if !left {
			return true
		}
		m.closeHandle(s.h)
		s.done = true
	}
	return false
}

// copyIn copies from the reader to the process. That it does not read all is no error.
func (s *commandPipe) copyIn(c *command, b []byte) error {
	for s.enterRead() {
		n, err := s.r.Read(b)
		if !s.leaveRead() {
			return nil
		}
		for done := 0; done < n; {
			op := Write(s.h, b[done:n], CurrentOffset)
			m, err := c.do(c.copies, op.Named(s.name))
			if done += m; err != nil {
				return nil
			}
		}
		if err == io.EOF || err != nil && c.copies.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enterRead reports whether there is somebody to read for.
func (s *commandPipe) enterRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ends := s.r.(*File) // with c.copies
	s.reading = !s.stopped && !ends
	return !s.stopped
}

// leaveRead reports whether the command is still there.
func (s *commandPipe) leaveRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped && s.reading {
		return false
	}
	s.reading = false
	return true
}

// copyOut copies from the process to the writer, to the end of the pipe, or what is in it when the copying is ended.
func (s *commandPipe) copyOut(c *command, b []byte) error {
	for {
		op := Read(s.h, b, CurrentOffset)
		n, err := c.do(c.copies, op.Named(s.name))
		if werr := s.write(b[:n]); werr != nil {
			return werr
		}
		switch {
		case err == io.EOF:
			return nil
		case c.copies.Err() != nil:
			return s.drain(c, b)
		case err != nil:
			return err
		}
	}
}

// drain copies what the pipe holds at most, without a wait. Others who have the process's end may go on writing.
func (s *commandPipe) drain(c *command, b []byte) error {
	for left := process.PipeBytes; left > 0 && process.Ready(s.h); {
		op := Read(s.h, b[:min(left, len(b))], CurrentOffset)
		n, err := c.do(context.Background(), op.Named(s.name))
		left -= n
		if werr := s.write(b[:n]); werr != nil {
			return werr
		}
		if err != nil {
			break
		}
	}
	return nil
}

func (s *commandPipe) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// do is Do, for a goroutine that may not be the owner of the manager: then the owner starts the operation.
func (c *command) do(ctx context.Context, op *Op) (int, error) {
	if c.m.shared {
		return c.m.Do(ctx, op)
	}
	done := make(chan error, 1)
	var n int
	c.post(func() {
		if ctx.Err() != nil {
			done <- ctxend.Cause(ctx)
			return
		}
		unwatch := context.AfterFunc(ctx, func() { c.post(func() { c.m.cancel(op, ctxend.Cause(ctx)) }) })
		err := c.m.Start(op, func(op *Op) {
			unwatch()
			var err error
			n, err = op.Result()
			done <- err
		})
		if err != nil {
			unwatch()
			done <- err
		}
	})
	err := <-done
	return n, err
}
