package ringport

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

var longFlag = flag.Bool("ringport.long", false, "stress with ten million operations for each backend and mode (two million under Wine), instead of 200,000")

// TestStress starts, cancels, times out and closes at random, over files, pipes and what is opened, and counts: every operation that
// was accepted is delivered once, every byte that went into a pipe comes out of it or is still there, and memory that does not
// belong to an operation is not touched.
func TestStress(t *testing.T) {
	total := int64(200_000)
	if *longFlag {
		total = int64(scaled(10_000_000))
	}
	forEach(t, func(t *testing.T, c Config) {
		seed := testSeed(t)
		before, known := descriptors(), goroutines() // the default manager may be at work for an earlier test
		rng := rand.New(rand.NewPCG(seed, 6))
		done, epochs := int64(0), 0
		for ; done < total && !t.Failed(); epochs++ {
			c.Depth = []int{0, 0, 1, 8, 64}[rng.IntN(5)]
			c.MaxWorkers = []int{0, 1, 3, 8}[rng.IntN(4)]
			done += stressManager(t, c, rng.Uint64(), min(500+rng.Int64N(20_000), total-done))
		}
		t.Logf("%d operations on %d managers", done, epochs)
		// A thread of the pool that is left would show as the goroutine that is on it.
		if err := patience.Until(func() error {
			return errors.Join(goroutinesOf(known, "ringport.(*Manager)", "ringport/internal/"), strangeDescriptors(before), kernelWorkers())
		}); err != nil {
			t.Error("left behind:", err)
		}
	})
}

// stress is one manager under stress.
type stress struct {
	t       *testing.T
	m       *Manager
	seed    uint64
	name    string
	file    Handle
	content []byte        // of the file, for good: writes repeat it
	door    string        // what is opened and closed
	in, out [4]stressPipe // the manager reads from in and writes to out

	quota               int64
	full                chan struct{} // closed, once, when quota operations were accepted
	fullOnce            sync.Once     // some are given back, and so may be the last one more than once
	accepted, delivered atomic.Int64
	wakes               atomic.Int64
	closing             atomic.Bool
	tasks               []*stressTask
	yard                graveyard
	problems            atomic.Int32
}

// errorf reports the first few problems: one is often followed by thousands.
func (s *stress) errorf(format string, args ...any) {
	if s.problems.Add(1) <= 10 {
		s.t.Errorf("manager seed %d: "+format, append([]any{s.seed}, args...)...)
	}
}

func stressManager(t *testing.T, c Config, seed uint64, quota int64) int64 {
	s := &stress{t: t, seed: seed, quota: quota, full: make(chan struct{}), m: open(t, c)}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.content = make([]byte, 64<<10)
	for i := range s.content {
		s.content[i] = byte(i*7 + i>>8)
	}
	if _, err := f.Write(s.content); err != nil {
		t.Fatal(err)
	}
	s.name, s.file = f.Name(), ownHandle(t, s.m, f)
	defer closeOwn(s.file)
	s.door = newDoor(t)
	for i := range s.in {
		s.in[i].open(t, s.m, byte(1+i), true)
		s.out[i].open(t, s.m, byte(101+i), false)
		defer s.in[i].close()
		defer s.out[i].close()
	}
	for i := range 48 {
		s.tasks = append(s.tasks, newStressTask(s, i))
	}

	var world sync.WaitGroup
	stop := make(chan struct{})
	world.Go(func() { s.world(stop) })
	if s.m.shared {
		s.runThreaded()
	} else {
		s.runOwned()
	}
	close(stop)
	world.Wait()
	s.check()
	return s.accepted.Load()
}

// world moves data at our ends of the pipes, and wakes the manager.
func (s *stress) world(stop chan struct{}) {
	rng := rand.New(rand.NewPCG(s.seed, 7))
	buf := make([]byte, 4096)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		p := &s.in[rng.IntN(len(s.in))]
		data := buf[:1+rng.IntN(100)]
		fill(data, p.tag)
		if n, err := tryWrite(p.ours, data); err == nil {
			p.kept.Add(int64(n))
		}
		s.out[rng.IntN(len(s.out))].drain(s.t, buf)
		if rng.IntN(4) == 0 {
			s.wakes.Add(1)
			s.m.Wake()
		}
		if s.m.shared {
			s.tasks[rng.IntN(len(s.tasks))].cancel()
		}
		runtime.Gosched()
	}
}

func (s *stress) runThreaded() {
	var doers sync.WaitGroup
	for _, task := range s.tasks {
		task.start()
	}
	for i := range 3 {
		task := newStressTask(s, 1000+i)
		doers.Go(func() {
			for task.do() {
			}
		})
	}
	<-s.full
	rng := rand.New(rand.NewPCG(s.seed, 8))
	s.closing.Store(true)
	var closers sync.WaitGroup
	var closed atomic.Int64
	closeIt := func() {
		switch err := s.m.Close(); err {
		case nil:
			closed.Add(1)
		case ErrManagerClosed:
		default:
			s.errorf("close: %v", err)
		}
	}
	switch rng.IntN(3) {
	case 0:
		closeIt()
	case 1:
		for range 3 {
			closers.Go(closeIt)
		}
		closers.Wait()
	case 2:
		inCallback := make(chan struct{})
		s.m.AfterFunc(0, func() { closeIt(); close(inCallback) })
		<-inCallback
	}
	if closed.Load() != 1 {
		s.errorf("%d Closes succeeded", closed.Load())
	}
	doers.Wait()
}

func (s *stress) runOwned() {
	rng := rand.New(rand.NewPCG(s.seed, 9))
	doer := newStressTask(s, 1000)
	defer doer.closeOpened()
	for s.accepted.Load() < s.quota && !s.t.Failed() {
		for range rng.IntN(12) {
			if task := s.tasks[rng.IntN(len(s.tasks))]; !task.flying {
				task.start()
			}
		}
		for range rng.IntN(4) {
			s.tasks[rng.IntN(len(s.tasks))].cancel()
		}
		if rng.IntN(50) == 0 {
			doer.do()
		}
		if _, err := s.m.Step(time.Duration(rng.IntN(3)) * 20 * time.Microsecond); err != nil {
			s.t.Fatal(err)
		}
	}
	s.closing.Store(true)
	if rng.IntN(2) == 0 {
		if err := s.m.Close(); err != nil {
			s.errorf("close: %v", err)
		}
		return
	}
	closed := false
	s.m.AfterFunc(0, func() {
		if err := s.m.Close(); err != nil {
			s.errorf("close: %v", err)
		}
		closed = true
	})
	for !closed {
		if _, err := s.m.Step(patience.Limit); err != nil {
			s.t.Fatal(err)
		}
	}
}

// check is the reckoning, when the manager is closed and everybody has ended.
func (s *stress) check() {
	if a, d := s.accepted.Load(), s.delivered.Load(); a != d {
		s.errorf("%d operations accepted, %d delivered", a, d)
	}
	for _, task := range s.tasks {
		task.closeOpened()
		if n := task.pending.Load(); n != 0 {
			s.errorf("task %d (%v) has %d to come", task.number, task.op.req.Kind, n)
		}
	}
	stats := s.m.Stats()
	if stats.Completed != s.accepted.Load() || stats.InFlight != 0 || len(stats.InFlightByKind) != 0 || stats.Wakes != s.wakes.Load() {
		s.errorf("%d accepted, %d wakes: %+v", s.accepted.Load(), s.wakes.Load(), stats)
	}
	buf := make([]byte, 64<<10)
	for i := range s.in {
		p := &s.in[i]
		left := 0
		for {
			n, err := tryRead(p.theirs, buf)
			if err != nil {
				s.errorf("what is left in pipe %d: %v", p.tag, err)
			}
			if n == 0 {
				break
			}
			left += n
		}
		if p.kept.Load() != p.operations.Load()+int64(left) {
			s.errorf("pipe %d got %d bytes, operations read %d, %d are left", p.tag, p.kept.Load(), p.operations.Load(), left)
		}
		p = &s.out[i]
		for p.drain(s.t, buf) != 0 {
		}
		if p.kept.Load() != p.operations.Load() {
			s.errorf("operations wrote %d bytes into pipe %d, %d came out", p.operations.Load(), p.tag, p.kept.Load())
		}
	}
	if content, err := os.ReadFile(s.name); err != nil || !bytes.Equal(content, s.content) {
		s.errorf("the file has changed: %v", err)
	}
	s.yard.checkAll(s.t)
}

// stressTask runs one operation after the other. Its lives are serial, but for cancels.
type stressTask struct {
	s       *stress
	number  int
	rng     *rand.Rand
	pending atomic.Int32 // deliveries to come

	mu     sync.Mutex // over flying and asked, for cancels from outside
	flying bool
	asked  bool // a cancel was

	op      Op
	more    [2]Op // the rest of a chain
	opened  int   // a descriptor to be closed, or -1
	timeout *Timeout

	memory  []byte // guard, buffer, guard
	buf     []byte
	pipe    *stressPipe // or nil
	off     int64       // in the file, or -1
	mayFail error       // an error that the operation is made to have
}

const (
	stressGuard  = 0xa5 // around and in a buffer before the operation
	stressPoison = 0x5a // after it
	stressMargin = 32
	stressBuffer = 512
)

var guardPattern = bytes.Repeat([]byte{stressGuard}, stressBuffer+2*stressMargin)

func newStressTask(s *stress, number int) *stressTask {
	task := &stressTask{s: s, number: number, opened: -1, rng: rand.New(rand.NewPCG(s.seed, uint64(10+number)))}
	return task
}

// prepare makes the next operation.
func (k *stressTask) prepare() {
	s, rng := k.s, k.rng
	k.memory = s.yard.get(s.t)
	copy(k.memory, guardPattern)
	k.buf = k.memory[stressMargin : stressMargin+1+rng.IntN(stressBuffer)]
	k.pipe, k.off, k.mayFail, k.asked = nil, -1, nil, false
	if k.opened >= 0 {
		k.op = CloseHandle(Handle(k.opened))
		return
	}
	switch n := rng.IntN(100); {
	case n < 15:
		k.op = Nop()
	case n < 35:
		k.off = rng.Int64N(int64(len(s.content)))
		k.op = Read(s.file, k.buf, k.off)
	case n < 45:
		k.off = rng.Int64N(int64(len(s.content) - stressBuffer))
		copy(k.buf, s.content[k.off:])
		k.op = Write(s.file, k.buf, k.off)
	case n < 65:
		k.pipe = &s.in[rng.IntN(len(s.in))]
		k.op = Read(k.pipe.theirs, k.buf, CurrentOffset)
	case n < 72:
		k.pipe = &s.in[rng.IntN(len(s.in))]
		middle := rng.IntN(len(k.buf))
		k.op = Readv(k.pipe.theirs, [][]byte{k.buf[:middle], nil, k.buf[middle:]}, CurrentOffset)
	case n < 88:
		k.pipe = &s.out[rng.IntN(len(s.out))]
		fill(k.buf, k.pipe.tag)
		k.op = Write(k.pipe.theirs, k.buf, CurrentOffset)
	case n < 92:
		k.op = PollReady(s.in[rng.IntN(len(s.in))].theirs, PollIn)
	case n < 96:
		k.mayFail = errBadHandle
		k.op = Read(^Handle(0), k.buf, 0)
	default:
		k.op = OpenAt(CurrentDir, s.door, []int{os.O_RDONLY, os.O_WRONLY}[rng.IntN(2)], 0)
	}
}

// start starts the next operation with a callback, unless the manager is closed.
func (k *stressTask) start() {
	k.prepare()
	n := int32(1)
	if k.rng.IntN(20) == 0 && k.opened < 0 {
		n = 3
		k.more[0], k.more[1] = Nop(), Nop()
	}
	k.pending.Store(n)
	k.mu.Lock()
	k.flying = true
	k.mu.Unlock()
	early := k.rng.IntN(10) == 0
	if k.rng.IntN(20) == 0 {
		d := time.Duration(k.rng.IntN(100)) * time.Microsecond
		if k.timeout == nil {
			k.timeout = k.s.m.AfterFunc(d, k.cancel)
		} else {
			k.timeout.Reset(d)
		}
	}
	// From here on the task belongs to its callback.
	var err error
	k.s.accept(n)
	if n == 1 {
		err = k.s.m.Start(&k.op, func(*Op) { k.back() })
	} else {
		err = k.s.m.StartChain(func(*Op) { k.back() }, &k.op, &k.more[0], &k.more[1])
	}
	if err != nil {
		k.s.accepted.Add(-int64(n))
		k.pending.Add(-n)
		k.refused(err)
	} else if early {
		k.cancel() // perhaps of a later life: that is as good
	}
}

func (s *stress) accept(n int32) {
	if v := s.accepted.Add(int64(n)); v >= s.quota && v-int64(n) < s.quota {
		s.fullOnce.Do(func() { close(s.full) })
	}
}

func (k *stressTask) refused(err error) {
	k.mu.Lock()
	k.flying = false
	k.mu.Unlock()
	if !errors.Is(err, ErrManagerClosed) || !k.s.closing.Load() {
		k.s.errorf("refused: %v", err)
	}
}

func (k *stressTask) closeOpened() {
	if k.opened >= 0 {
		if err := closeRaw(Handle(k.opened)); err != nil {
			k.s.errorf("close of what was opened: %v", err)
		}
		k.opened = -1
	}
}

// cancel cancels the task's operation, if one is in flight, from wherever.
func (k *stressTask) cancel() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flying {
		k.asked = true
		k.s.m.Cancel(&k.op)
	}
}

// back is the callback.
func (k *stressTask) back() {
	k.s.delivered.Add(1)
	switch left := k.pending.Add(-1); {
	case left < 0:
		k.s.errorf("task %d (%v) was delivered twice", k.number, k.op.req.Kind)
		return
	case left > 0:
		return
	}
	k.mu.Lock()
	k.flying = false
	k.mu.Unlock()
	k.verify(context.Background())
	if k.s.m.shared || k.rng.IntN(2) == 0 {
		k.start()
	}
}

// do runs the next operation with Do and a context, and reports whether the manager is still open.
func (k *stressTask) do() bool {
	k.prepare()
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	waits := k.pipe != nil || k.op.req.Kind.String() == "open" || k.op.req.Kind.String() == "poll"
	switch n := k.rng.IntN(3); {
	case n == 0 || waits && n == 1:
		ctx, cancel = context.WithTimeout(ctx, time.Duration(k.rng.IntN(200))*time.Microsecond)
	case n == 1:
		ctx, cancel = context.WithCancel(ctx)
	case waits:
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(k.rng.IntN(200))*time.Microsecond, errOutOfPaper)
	}
	defer cancel()
	before := k.op.state
	k.s.accept(1)
	_, err := k.s.m.Do(ctx, &k.op)
	if k.op.state == before { // not started
		k.s.accepted.Add(-1)
		if errors.Is(err, ErrManagerClosed) {
			k.refused(err)
			k.closeOpened()
			return false
		}
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			k.s.errorf("refused: %v", err)
		}
		return true
	}
	k.s.delivered.Add(1)
	k.verify(ctx)
	return true
}

// verify checks result and memory of a finished operation, and buries its memory.
func (k *stressTask) verify(ctx context.Context) {
	n, err := k.op.Result()
	if problem := k.problem(ctx, n, err); problem != "" {
		k.s.errorf("task %d: %v: %d, %v: %s", k.number, k.op.req.Kind, n, err, problem)
	}
	if k.opened >= 0 && k.op.req.Kind.String() == "close" {
		if err != nil {
			k.closeOpened()
		}
		k.opened = -1
	}
	if k.op.req.Kind.String() == "open" && err == nil {
		k.opened = n
	}
	k.s.yard.bury(k.memory)
	k.memory, k.buf = nil, nil
}

// problem says what is wrong with a result; empty if nothing is.
func (k *stressTask) problem(ctx context.Context, n int, err error) string {
	switch {
	case err == nil:
		if k.mayFail != nil {
			return "it should fail"
		}
	case k.mayFail != nil && errors.Is(err, k.mayFail):
	case errors.Is(err, ErrManagerClosed):
		if !k.s.closing.Load() {
			return "but nobody closes the manager"
		}
	case errors.Is(err, ErrCanceled):
		if !k.asked {
			return "but nobody asked"
		}
	case ctx != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)):
	default:
		return "what is that?"
	}
	if err != nil && n != 0 {
		return "bytes beside an error"
	}
	kind := k.op.req.Kind.String()
	moved := 0
	if k.pipe != nil {
		moved = n
		k.pipe.operations.Add(int64(n))
	} else if k.off >= 0 {
		moved = n
	}
	if moved > len(k.buf) {
		return "more than the buffer holds"
	}
	switch {
	case k.pipe != nil && !allAre(k.buf[:moved], k.pipe.tag), k.off >= 0 && !bytes.Equal(k.buf[:moved], s64(k.s.content, k.off, moved)):
		return fmt.Sprintf("wrong data, it begins with % x", k.buf[:min(moved, 32)])
	case err == nil && k.pipe != nil && n == 0:
		return "no data, and no error"
	}
	written := kind == "write"
	if written { // the buffer is whole
		if k.pipe != nil && !allAre(k.buf, k.pipe.tag) || k.off >= 0 && !bytes.Equal(k.buf, s64(k.s.content, k.off, len(k.buf))) {
			return "the buffer of a write has changed"
		}
		moved = len(k.buf)
	}
	if k.off >= 0 && !written {
		// A read of a file that was cancelled or tried twice may have used all of its buffer, for what it was asked for.
		for i, b := range k.buf[moved:] {
			if at := int(k.off) + moved + i; b != stressGuard && (at >= len(k.s.content) || b != k.s.content[at]) {
				return "the rest of the buffer has something else in it"
			}
		}
		moved = len(k.buf)
	}
	head, tail := k.memory[:stressMargin], k.memory[stressMargin+moved:]
	if !bytes.Equal(head, guardPattern[:len(head)]) || !bytes.Equal(tail, guardPattern[:len(tail)]) {
		return "memory beside the data was touched"
	}
	return ""
}

func s64(b []byte, off int64, n int) []byte { return b[off:min(off+int64(n), int64(len(b)))] }
