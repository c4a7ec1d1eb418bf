package main

import (
	"errors"
	"fmt"

	"github.com/ringport/ringport"
)

// loop is one goroutine that owns a caller-driven manager: each completion's callback starts the next operation, and one
// kernel call a step submits and collects a whole batch. The file and the buffers are registered.
type loop struct {
	m      *ringport.Manager
	file   ringport.Handle
	fixed  bool // the buffers are registered
	slots  []loopSlot
	info   engineInfo
	r      *round // the one under way
	pick   picker
	flight int
	// now is when the callbacks of this step began; zero: not yet asked. All operations of a batch share one reading of the
	// clock, as their end and as the start of those that follow: these are submitted together, when the callbacks are through.
	now int64
}

// loopSlot is one operation in flight and what belongs to it.
type loopSlot struct {
	op       ringport.Op
	buf      []byte
	off      int64
	start    int64
	write    bool
	finished func(*ringport.Op) // made once
}

func openLoop(spec *engineSpec) (engine, error) {
	m, err := ringport.New(ringport.Config{CallerDriven: true, Depth: max(256, spec.Depth), MaxThreads: max(64, spec.Depth)})
	if err != nil {
		return nil, err
	}
	h, err := spec.File.open(true)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	stats := m.Stats()
	e := &loop{m: m, file: ringport.RegisteredFile(0), info: engineInfo{Backend: stats.Backend, Why: stats.Why}}
	if err := m.RegisterFiles([]ringport.Handle{ringport.Handle(h)}); err != nil {
		e.file = ringport.Handle(h)
		e.info.Note = fmt.Sprintf("the file is not registered (%v)", err)
	}
	all, bufs := spec.buffers()
	if err := m.RegisterBuffers([][]byte{all}); err == nil {
		e.fixed = true
	} else {
		e.info.Note = fmt.Sprintf("the buffers are not registered (%v)", err)
	}
	e.slots = make([]loopSlot, spec.Depth)
	for i := range e.slots {
		s := &e.slots[i]
		s.buf = bufs[i]
		s.finished = func(op *ringport.Op) { e.finish(s) }
	}
	return e, nil
}

func (e *loop) run(r *round) error {
	e.r, e.pick = r, r.picker()
	e.now = max(r.now(), 1)
	for i := range e.slots {
		e.flight++
		e.next(&e.slots[i])
	}
	for e.flight > 0 {
		e.now = 0
		if _, err := e.m.Step(-1); err != nil {
			return err
		}
	}
	e.r.recorders[0].flush()
	return nil
}

// finish is the callback of slot s.
func (e *loop) finish(s *loopSlot) {
	if e.now == 0 {
		e.now = e.r.now()
	}
	n, err := s.op.Result()
	e.r.finished(&e.r.recorders[0], e.now-s.start, s.buf, s.off, s.write, n, err)
	e.next(s)
}

// next starts the next operation in slot s, or takes the slot out of flight.
func (e *loop) next(s *loopSlot) {
	r := e.r
	if !r.more() {
		e.flight--
		return
	}
	block, write := e.pick.next()
	s.off, s.write, s.start = block*r.spec.Block, write, e.now
	switch {
	case write && e.fixed:
		s.op = ringport.WriteFixed(e.file, 0, s.buf, s.off)
	case write:
		s.op = ringport.Write(e.file, s.buf, s.off)
	case e.fixed:
		s.op = ringport.ReadFixed(e.file, 0, s.buf, s.off)
	default:
		s.op = ringport.Read(e.file, s.buf, s.off)
	}
	if write && r.spec.Verify {
		stamp(s.buf, s.off)
	}
	if err := e.m.Start(&s.op, s.finished); err != nil {
		r.fail(err)
		e.flight--
	}
}

func (e *loop) about() engineInfo { return e.info }

func (e *loop) close() error { return e.m.Close() }
