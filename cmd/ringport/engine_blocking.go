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
	file interface {
		io.ReaderAt
		io.WriterAt
	}
	bufs [][]byte
	info engineInfo
	shut func() error
}

// newBlocking makes the buffers, and lets the process have a thread for each goroutine and some more: Go's own limit is 10,000.
func newBlocking(spec *engineSpec) *blocking {
	debug.SetMaxThreads(spec.Depth + 10000)
	_, bufs := spec.buffers()
	return &blocking{bufs: bufs}
}

func openOSFile(spec *engineSpec) (engine, error) {
	f := os.NewFile(spec.Handle, spec.Name)
	if f == nil {
		return nil, fmt.Errorf("no file was handed over as descriptor %d", spec.Handle)
	}
	e := newBlocking(spec)
	e.file, e.shut = f, f.Close
	return e, nil
}

func openRingport(spec *engineSpec) (engine, error) {
	return openManaged(spec, ringport.Config{})
}

func openPool(spec *engineSpec) (engine, error) {
	return openManaged(spec, ringport.Config{Backend: ringport.BackendPool, MaxThreads: max(64, spec.Depth)})
}

func openManaged(spec *engineSpec, config ringport.Config) (engine, error) {
	config.Depth = max(256, spec.Depth)
	m, err := ringport.New(config)
	if err != nil {
		return nil, err
	}
	f, err := m.NewFile(ringport.Handle(spec.Handle), spec.Name)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	e := newBlocking(spec)
	s := m.Stats()
	e.info = engineInfo{Backend: s.Backend, Why: s.Why}
	e.file, e.shut = f, func() error { return errors.Join(f.Close(), m.Close()) }
	return e, nil
}

func (e *blocking) run(r *round) error {
	var wg sync.WaitGroup
	for i := range e.bufs {
		wg.Go(func() { e.work(r, &r.recorders[i], e.bufs[i]) })
	}
	wg.Wait()
	return nil
}

// work is one goroutine. The end of an operation is the start of the next, so that the clock is read once for both.
func (e *blocking) work(r *round, c *recorder, buf []byte) {
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
			n, err = e.file.WriteAt(buf, off)
		} else {
			n, err = e.file.ReadAt(buf, off)
		}
		end := r.now()
		r.finished(c, end-start, buf, off, write, n, err)
		start = end
	}
}

func (e *blocking) about() engineInfo { return e.info }

func (e *blocking) close() error { return e.shut() }

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
