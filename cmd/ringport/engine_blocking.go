package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"

	"github.com/ringport/ringport"
)

// blocking is as many goroutines as the depth, each with one blocking call at a time. What differs is whose calls.
type blocking struct {
	file func(goroutine int) readerWriterAt
	bufs [][]byte
	info engineInfo
	shut func() error
}

type readerWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// newBlocking makes the buffers, and lets the process have a thread for each goroutine and some more: Go's own limit is 10,000.
func newBlocking(spec *engineSpec) *blocking {
	debug.SetMaxThreads(spec.Depth + 10000)
	_, bufs := spec.buffers()
	return &blocking{bufs: bufs}
}

func openOSFile(spec *engineSpec) (engine, error) {
	f, err := spec.osFile()
	if err != nil {
		return nil, err
	}
	e := newBlocking(spec)
	e.file = func(int) readerWriterAt { return f }
	e.shut, e.info.Note = f.Close, osFileNote
	return e, nil
}

func openRingport(spec *engineSpec) (engine, error) {
	return openManaged(spec, ringport.Config{})
}

func openManaged(spec *engineSpec, config ringport.Config) (engine, error) {
	config.Depth = max(256, spec.Depth)
	m, err := ringport.New(config)
	if err != nil {
		return nil, err
	}
	h, err := spec.File.open(true)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	f, err := m.NewFile(ringport.Handle(h), spec.Name)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	e := newBlocking(spec)
	s := m.Stats()
	e.info = engineInfo{Backend: s.Backend, Why: s.Why}
	e.file = func(int) readerWriterAt { return f }
	e.shut = func() error { return errors.Join(f.Close(), m.Close()) }
	return e, nil
}

func (e *blocking) run(r *round) error {
	var wg sync.WaitGroup
	for i := range e.bufs {
		wg.Go(func() { e.work(r, e.file(i), &r.recorders[i], e.bufs[i]) })
	}
	wg.Wait()
	return nil
}

// work is one goroutine. The end of an operation is the start of the next, so that the clock is read once for both.
func (e *blocking) work(r *round, f readerWriterAt, c *recorder, buf []byte) {
	pick := r.picker()
	start := r.now()
	for r.more() {
		block, write := pick.next()
		off := block * r.spec.Block
		var n int
		var err error
		if write {
			if r.spec.Verify {
				stamp(buf, off)
			}
			n, err = f.WriteAt(buf, off)
		} else {
			n, err = f.ReadAt(buf, off)
		}
		end := r.now()
		r.finished(c, end-start, buf, off, write, n, err)
		start = end
	}
}

func (e *blocking) about() engineInfo { return e.info }

func (e *blocking) close() error { return e.shut() }

// osFile is the file as package os opens files.
func (s *engineSpec) osFile() (*os.File, error) {
	h, err := s.File.open(false)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(h, s.Name)
	if f == nil {
		return nil, fmt.Errorf("no file was handed over as descriptor %d", h)
	}
	return f, nil
}

// buffers makes one aligned buffer for each operation in flight, all in one piece, with content that no disk can compress.
func (s *engineSpec) buffers() (all []byte, each [][]byte) {
	all = ringport.AlignedBuffer(int(s.Block) * s.Depth)
	fillRandom(all, rand.NewPCG(rand.Uint64(), rand.Uint64()))
	each = make([][]byte, s.Depth)
	for i := range each {
		each[i] = all[i*int(s.Block):][:s.Block:s.Block]
	}
	return all, each
}
