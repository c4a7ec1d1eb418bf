package ringport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32/win32test"
)

// closePatience is for one round. It ends a hang, with the stacks of all goroutines. It bounds no correct run.
const closePatience = 2 * time.Minute

// TestHazard20CloseNeverHangs closes handles, listening instances and the manager at random points of connects, reads, writes and cancels. All of them
// return, and so does every call that was under way.
func TestHazard20CloseNeverHangs(t *testing.T) {
	const rounds = 1000
	seed := testSeed(t)
	for _, owned := range []bool{false, true} {
		var round atomic.Int64
		watchdog := time.AfterFunc(closePatience, func() {
			debug.SetTraceback("all")
			panic(fmt.Sprintf("caller-driven %v: round %d of seed %d hangs", owned, round.Load(), seed))
		})
		defer watchdog.Stop() // a round that fails is none that hangs
		before := win32test.Pipes()
		var ended endings
		for i := range rounds {
			round.Store(int64(i))
			watchdog.Reset(closePatience)
			r := newCloseRound(t, Config{CallerDriven: owned}, rand.New(rand.NewPCG(seed, uint64(i))))
			r.ended = &ended
			if owned {
				r.runOwned()
			} else {
				r.run()
			}
			if n := r.started.Load() - r.called.Load(); n != 0 {
				t.Errorf("%d callbacks missing", n)
			}
			if t.Failed() {
				t.Fatalf("in round %d", i)
			}
		}
		watchdog.Stop()
		t.Logf("caller-driven %v: %v", owned, &ended)
		for _, n := range []*atomic.Int64{&ended.done, &ended.data, &ended.cancelled, &ended.closed, &ended.system} {
			if n.Load() < rounds/100 { // how much happens in a round depends on how busy the machine is
				t.Errorf("the rounds try too little of something")
			}
		}
		if after := win32test.Pipes(); after != before {
			t.Errorf("%d handles of pipes before, %d after", before, after)
		}
	}
}

// closeRound is a manager, a pipe with some instances, and what is done to them.
type closeRound struct {
	t         *testing.T
	dice      *rand.Rand // the first goroutine's
	m         *Manager
	sort      pipeSort
	name      string
	instances []*File

	started, called atomic.Int64 // operations with callbacks
	ended           *endings
}

// endings counts what became of operations.
type endings struct{ done, data, cancelled, closed, system atomic.Int64 }

func (e *endings) String() string {
	return fmt.Sprintf("%d without bytes, %d with, %d cancelled, %d closed, %d other errors", e.done.Load(), e.data.Load(), e.cancelled.Load(),
		e.closed.Load(), e.system.Load())
}

// newCloseRound makes all instances that there will be: an operation on one that is closed must not meet, under the same number, one that is not
// attached yet, whose packet nobody would get.
func newCloseRound(t *testing.T, c Config, dice *rand.Rand) *closeRound {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &closeRound{t: t, dice: dice, m: m, name: pipeName(), sort: pipeSort{messages: dice.IntN(2) == 0}}
	for range 1 + dice.IntN(3) {
		h, err := r.sort.instance(r.name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.NewFile(Handle(h), r.name)
		if err != nil {
			t.Fatal(err)
		}
		r.instances = append(r.instances, f)
	}
	return r
}

// run lets goroutines loose on the instances, and closes everything in an order of chance.
func (r *closeRound) run() {
	var wg sync.WaitGroup
	for _, f := range r.instances {
		for range 1 + r.dice.IntN(2) {
			dice := r.fork()
			wg.Go(func() { r.serve(f, dice) })
		}
		visits, closes := r.fork(), r.fork()
		wg.Go(func() { r.visit(visits) })
		wg.Go(func() {
			<-moment(closes)
			r.checkClose(f.Close())
		})
	}
	closers := 1 + r.dice.IntN(2)
	var closed atomic.Int64
	for range closers {
		dice := r.fork()
		wg.Go(func() {
			<-moment(dice)
			switch err := r.m.Close(); {
			case err == nil:
				closed.Add(1)
			case err != ErrManagerClosed:
				r.t.Error(err)
			}
		})
	}
	wg.Wait()
	if closed.Load() != 1 {
		r.t.Errorf("closed %d times", closed.Load())
	}
}

func (r *closeRound) fork() *rand.Rand {
	return rand.New(rand.NewPCG(r.dice.Uint64(), r.dice.Uint64()))
}

// pause lets others run for a while of chance, most often short.
func pause(dice *rand.Rand) {
	for range dice.IntN(1 << dice.IntN(10)) {
		runtime.Gosched()
	}
}

// moment is a point of time within the next few operations.
func moment(dice *rand.Rand) <-chan time.Time {
	return time.After(time.Duration(dice.IntN(5000)) * time.Microsecond)
}

// serve does what a server does to its instance, until the manager or the instance is closed.
func (r *closeRound) serve(f *File, dice *rand.Rand) {
	for h := Handle(f.Fd()); h != ^Handle(0) && !r.m.closing(); h = Handle(f.Fd()) {
		r.serveOnce(f, h, dice)
	}
}

// serveOnce has a context that has ended, will end, or doesn't end.
func (r *closeRound) serveOnce(f *File, h Handle, dice *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch dice.IntN(8) {
	case 0:
		cancel()
	case 1, 2, 3, 4:
		timeout := r.m.AfterFunc(time.Duration(dice.IntN(1000))*time.Microsecond, cancel)
		defer timeout.Stop()
	}
	switch dice.IntN(6) {
	case 0:
		r.start(ref(ConnectPipe(h)), dice)
	case 1, 2:
		r.check(r.m.Do(ctx, ref(ConnectPipe(h))))
	case 3:
		r.check(r.m.Do(ctx, ref(DisconnectPipe(h))))
	default:
		r.transfer(f.WithContext(ctx), dice)
	}
}

// start starts op, and most often cancels it after a while.
func (r *closeRound) start(op *Op, dice *rand.Rand) {
	if err := r.m.Start(op, func(op *Op) {
		r.check(op.Result())
		r.called.Add(1)
	}); err != nil {
		r.check(0, err)
		return
	}
	r.started.Add(1)
	if dice.IntN(2) == 0 {
		pause(dice)
		r.m.Cancel(op)
	}
}

// transfer reads or writes: less or more than the pipe has room for.
func (r *closeRound) transfer(f *File, dice *rand.Rand) {
	buf := make([]byte, 1+dice.IntN(10000))
	switch dice.IntN(3) {
	case 0:
		r.check(f.Write(buf))
	case 1:
		r.check(f.Read(buf))
	case 2:
		r.check(f.Readv([][]byte{buf[:1], buf[1:]}))
	}
}

// visit is a client that comes again and again.
func (r *closeRound) visit(dice *rand.Rand) {
	for !r.m.closing() {
		h, err := r.sort.client(r.name)
		if err != nil { // there is no instance that listens
			<-moment(dice)
			continue
		}
		f, err := r.m.NewFile(Handle(h), "client")
		if err != nil {
			r.check(0, err)
			windows.CloseHandle(h)
			return
		}
		var wg sync.WaitGroup
		own := rand.New(rand.NewPCG(dice.Uint64(), 0))
		wg.Go(func() {
			for f.Fd() != ^uintptr(0) && !r.m.closing() {
				r.transfer(f, own)
			}
		})
		pause(dice)
		r.checkClose(f.Close())
		wg.Wait()
	}
}

// runOwned does the like on one goroutine, where all but the system's part waits for the next step.
func (r *closeRound) runOwned() {
	dice, files := r.dice, r.instances
	var ops []*Op
	steps := dice.IntN(40)
	closeInCallback := dice.IntN(4) == 0
	for range steps {
		f := files[dice.IntN(len(files))]
		h := Handle(f.Fd())
		var op *Op
		switch dice.IntN(8) {
		case 0, 1:
			op = ref(ConnectPipe(h))
		case 2:
			op = ref(Read(h, make([]byte, 1+dice.IntN(10000)), CurrentOffset))
		case 3:
			op = ref(Write(h, make([]byte, 1+dice.IntN(10000)), CurrentOffset))
		case 4:
			op = ref(DisconnectPipe(h))
		case 5:
			if h, err := r.sort.client(r.name); err == nil {
				f, err := r.m.NewFile(Handle(h), "client")
				if err != nil {
					r.t.Fatal(err)
				}
				files = append(files, f)
			}
		case 6:
			if _, err := r.m.Step(0); err != nil {
				r.t.Error(err)
			}
		case 7:
			if h != ^Handle(0) && dice.IntN(2) == 0 {
				r.checkClose(f.Close())
			} else if len(ops) > 0 {
				r.m.Cancel(ops[dice.IntN(len(ops))])
			}
		}
		if op != nil {
			r.start(op, dice)
			ops = append(ops, op)
		}
	}
	closed := false
	if closeInCallback {
		nop := Nop()
		if err := r.m.Start(&nop, func(*Op) {
			r.checkClose(r.m.Close())
			closed = true
		}); err != nil {
			r.t.Error(err)
		}
	}
	late := dice.IntN(len(files) + 1) // some files are closed before the manager, some after
	r.closeAll(files[late:])
	for closeInCallback && !closed {
		if _, err := r.m.Step(-1); err != nil {
			r.t.Fatal(err)
		}
	}
	if !closed {
		r.checkClose(r.m.Close())
	}
	r.closeAll(files[:late])
	if err := r.m.Close(); err != ErrManagerClosed {
		r.t.Error(err)
	}
}

func (r *closeRound) closeAll(files []*File) {
	for _, f := range files {
		if f.Fd() != ^uintptr(0) {
			r.checkClose(f.Close())
		}
	}
}

// check expects of what an operation ended with that it says what and why, and counts it.
func (r *closeRound) check(n int, err error) {
	var why *OpError
	switch {
	case n > 0:
		r.ended.data.Add(1)
	case err == nil || err == io.EOF:
		r.ended.done.Add(1)
	case !errors.As(err, &why):
		r.t.Errorf("%d, %v", n, err)
	case errors.Is(err, context.Canceled):
		r.ended.cancelled.Add(1)
	case errors.Is(err, os.ErrClosed):
		r.ended.closed.Add(1)
	default:
		r.ended.system.Add(1)
	}
}

func (r *closeRound) checkClose(err error) {
	if err != nil {
		r.t.Error(err)
	}
}
