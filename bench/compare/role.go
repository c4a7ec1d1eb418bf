package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringport/ringport"
)

// role is what a child process does: one side of one contest.
type role struct {
	Name      string  // a key of plays
	Engine    string  // osfile, runtime or go-winio, or ringport
	Change    string  // of a timeout: reset or new
	Depth     int     // goroutines, or operations in flight
	Direct    bool    // past the page cache
	NeedsData bool    // reads the data file
	Windows   bool    // played by a Windows program
	File      string  // set by the parent
	Seconds   float64 // set by the parent
}

// plays are the roles by name. What is Windows's alone comes to them in a file of its own.
var plays = map[string]func(role) (figures, error){
	"read": playRead, "loop": playLoop, "append": playAppend, "nop": playNop, "timeout": playTimeout,
}

const blockBytes = 4096

// playRole does what the parent asked for, in the contest's folder, and prints the figures.
func playRole(text string) {
	var r role
	err := json.Unmarshal([]byte(text), &r)
	if err == nil {
		var f figures
		if f, err = plays[r.Name](r); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(f)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// together runs f in n goroutines, each until the time is up, and adds up what they count.
func (r role) together(n int, f func(i int, stop *atomic.Bool) (int64, error)) (figures, error) {
	var (
		wg    sync.WaitGroup
		total atomic.Int64
		stop  atomic.Bool
		once  sync.Once
		fail  error
	)
	time.AfterFunc(time.Duration(r.Seconds*1e9), func() { stop.Store(true) })
	m := startMeter()
	for i := range n {
		wg.Go(func() {
			done, err := f(i, &stop)
			total.Add(done)
			if err != nil {
				once.Do(func() { fail = err })
			}
		})
	}
	wg.Wait()
	return m.stop(total.Load()), fail
}

// playRead: random 4 KiB reads by r.Depth goroutines with blocking calls. Cached ones are on the first 64 MiB, read before.
func playRead(r role) (figures, error) {
	flags := os.O_RDONLY
	if r.Direct {
		flags |= ringport.O_DIRECT
	}
	var file io.ReaderAt
	if r.Engine == "osfile" {
		f, err := os.OpenFile(r.File, flags, 0)
		if err != nil {
			return figures{}, err
		}
		defer f.Close()
		file = f
	} else {
		m, err := ringport.New(ringport.Config{})
		if err != nil {
			return figures{}, err
		}
		defer m.Close()
		f, err := m.OpenFile(context.Background(), r.File, flags, 0)
		if err != nil {
			return figures{}, err
		}
		defer f.Close()
		file = f
	}
	blocks := int64(dataBytes / blockBytes)
	if !r.Direct {
		blocks = 64 << 20 / blockBytes
		if _, err := io.Copy(io.Discard, io.NewSectionReader(file, 0, blocks*blockBytes)); err != nil {
			return figures{}, err
		}
	}
	return r.together(r.Depth, func(i int, stop *atomic.Bool) (n int64, err error) {
		buf, random := ringport.AlignedBuffer(blockBytes), rand.New(rand.NewPCG(uint64(i), 1))
		for !stop.Load() {
			if _, err := file.ReadAt(buf, random.Int64N(blocks)*blockBytes); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
}

// playLoop: the same reads from one goroutine, caller-driven, r.Depth in flight.
func playLoop(r role) (figures, error) {
	f, err := os.OpenFile(r.File, os.O_RDONLY|ringport.O_DIRECT, 0)
	if err != nil {
		return figures{}, err
	}
	defer f.Close()
	m, err := ringport.New(ringport.Config{CallerDriven: true})
	if err != nil {
		return figures{}, err
	}
	defer m.Close()
	bufs := make([][]byte, r.Depth)
	for i := range bufs {
		bufs[i] = ringport.AlignedBuffer(blockBytes)
	}
	if err := m.RegisterBuffers(bufs); err != nil {
		return figures{}, err
	}
	if err := m.RegisterFiles([]ringport.Handle{ringport.Handle(f.Fd())}); err != nil {
		return figures{}, err
	}
	return runLoop(r, m, bufs)
}

func runLoop(r role, m *ringport.Manager, bufs [][]byte) (figures, error) {
	var (
		done, live int64
		fail       error
		stop       atomic.Bool
		random     = rand.New(rand.NewPCG(1, 1))
	)
	start := func(op *ringport.Op, i int, f func(*ringport.Op)) {
		*op = ringport.ReadFixed(ringport.RegisteredFile(0), i, bufs[i], random.Int64N(dataBytes/blockBytes)*blockBytes)
		if err := m.Start(op, f); err != nil {
			fail = err
			return
		}
		live++
	}
	time.AfterFunc(time.Duration(r.Seconds*1e9), func() { stop.Store(true) })
	meter := startMeter()
	ops := make([]ringport.Op, r.Depth)
	for i := range ops {
		var again func(op *ringport.Op)
		again = func(op *ringport.Op) {
			live--
			done++
			if _, err := op.Result(); err != nil {
				fail = err
			}
			if fail == nil && !stop.Load() {
				start(op, i, again)
			}
		}
		start(&ops[i], i, again)
	}
	for live > 0 {
		if _, err := m.Step(-1); err != nil {
			return figures{}, err
		}
	}
	return meter.stop(done), fail
}

// playAppend: append 4 KiB and make it durable, by r.Depth writers on a file each.
func playAppend(r role) (figures, error) {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		return figures{}, err
	}
	defer m.Close()
	files := make([]*os.File, r.Depth)
	for i := range files {
		name := fmt.Sprintf("append-%d", i)
		if files[i], err = os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return figures{}, err
		}
		defer os.Remove(name)
		defer files[i].Close()
	}
	return r.together(r.Depth, func(i int, stop *atomic.Bool) (n int64, err error) {
		f, buf := files[i], make([]byte, blockBytes)
		h := ringport.Handle(f.Fd())
		var write, sync ringport.Op
		for !stop.Load() {
			if r.Engine == "osfile" {
				if _, err = f.Write(buf); err == nil {
					err = f.Sync()
				}
			} else {
				write, sync = ringport.Write(h, buf, ringport.CurrentOffset), ringport.Fdatasync(h)
				err = m.DoChain(context.Background(), &write, &sync)
			}
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
}

// playNop: no-op operations through Start with a callback, caller-driven, in batches of 32.
func playNop(r role) (figures, error) {
	m, err := ringport.New(ringport.Config{CallerDriven: true})
	if err != nil {
		return figures{}, err
	}
	defer m.Close()
	ops := make([]ringport.Op, 32)
	for i := range ops {
		ops[i] = ringport.Nop()
	}
	left, done := 0, int64(0)
	f := func(*ringport.Op) { left-- }
	meter := startMeter()
	for meter.elapsed().Seconds() < r.Seconds {
		for range 1000 {
			for i := range ops {
				if err := m.Start(&ops[i], f); err != nil {
					return figures{}, err
				}
			}
			for left = len(ops); left > 0; {
				if _, err := m.Step(-1); err != nil {
					return figures{}, err
				}
			}
		}
		done += 1000 * int64(len(ops))
	}
	return meter.stop(done), nil
}

const (
	timeoutCount   = 1_000_000
	timeoutChanges = 2_000_000
)

// playTimeout: changes among a million pending timeouts, each to a random time within the next hour.
func playTimeout(r role) (figures, error) {
	random := rand.New(rand.NewPCG(1, 2))
	later := func() time.Duration { return time.Minute + time.Duration(random.Int64N(int64(time.Hour))) }
	var change func(i int)
	if r.Engine == "ringport" {
		m, err := ringport.New(ringport.Config{})
		if err != nil {
			return figures{}, err
		}
		defer m.Close()
		timeouts := make([]*ringport.Timeout, timeoutCount)
		for i := range timeouts {
			timeouts[i] = m.AfterFunc(later(), func() {})
		}
		change = func(i int) { timeouts[i].Reset(later()) }
		if r.Change == "new" {
			change = func(i int) {
				timeouts[i].Stop()
				timeouts[i] = m.AfterFunc(later(), func() {})
			}
		}
	} else {
		timers := make([]*time.Timer, timeoutCount)
		for i := range timers {
			timers[i] = time.AfterFunc(later(), func() {})
		}
		change = func(i int) { timers[i].Reset(later()) }
		if r.Change == "new" {
			change = func(i int) {
				timers[i].Stop()
				timers[i] = time.AfterFunc(later(), func() {})
			}
		}
	}
	meter := startMeter()
	for range timeoutChanges {
		change(random.IntN(timeoutCount))
	}
	return meter.stop(timeoutChanges), nil
}
