package timerq

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// model is the queue that can't be wrong: it looks at every timer, every time.
type model struct {
	timers []modelTimer
	seq    int
}

type modelTimer struct {
	pending  bool
	deadline int64
	seq      int
}

func (m *model) set(i int, deadline int64) (wasPending bool) {
	wasPending = m.timers[i].pending
	m.seq++
	m.timers[i] = modelTimer{true, deadline, m.seq}
	return wasPending
}

func (m *model) stop(i int) (wasPending bool) {
	wasPending = m.timers[i].pending
	m.timers[i].pending = false
	return wasPending
}

func (m *model) len() (n int) {
	for _, t := range m.timers {
		if t.pending {
			n++
		}
	}
	return n
}

// first returns the index of the earliest timer, or -1.
func (m *model) first() int {
	first := -1
	for i, t := range m.timers {
		if t.pending && (first < 0 || t.deadline < m.timers[first].deadline ||
			t.deadline == m.timers[first].deadline && t.seq < m.timers[first].seq) {
			first = i
		}
	}
	return first
}

// duel drives a queue and the model with the same calls and compares what they return.
type duel struct {
	t         *testing.T
	q         Queue[int]
	timers    []Timer[int]
	m         model
	now       int64
	dense     bool  // all deadlines in one cell, so that the heap is large
	announced int64 // the deadline that a waiting caller would know
	known     bool
}

func newDuel(t *testing.T, timers int) *duel {
	d := &duel{t: t, timers: make([]Timer[int], timers), m: model{timers: make([]modelTimer, timers)}}
	for i := range d.timers {
		d.timers[i].Value = i
	}
	return d
}

func (d *duel) set(i int, deadline int64) {
	wantEarlier := !d.known || deadline < d.announced
	if wantEarlier {
		d.known, d.announced = true, deadline
	}
	was, earlier := d.q.Set(&d.timers[i], deadline)
	if want := d.m.set(i, deadline); was != want || earlier != wantEarlier {
		d.t.Fatalf("Set(%d, %d) = %v, %v, want %v, %v", i, deadline, was, earlier, want, wantEarlier)
	}
}

func (d *duel) stop(i int) {
	if got, want := d.q.Stop(&d.timers[i]), d.m.stop(i); got != want {
		d.t.Fatalf("Stop(%d) = %v, want %v", i, got, want)
	}
}

func (d *duel) earliest() {
	got, ok := d.q.Earliest()
	first := d.m.first()
	want := int64(0)
	if first >= 0 {
		want = d.m.timers[first].deadline
	}
	d.known, d.announced = first >= 0, want
	if got != want || ok != (first >= 0) {
		d.t.Fatalf("Earliest() = %d, %v, want %d, %v", got, ok, want, first >= 0)
	}
}

// pop lets time reach now and reports whether a timer was due.
func (d *duel) pop(now int64) bool {
	d.now = now
	got, want := -1, d.m.first()
	if want >= 0 && d.m.timers[want].deadline > now {
		want = -1
	}
	if t := d.q.PopExpired(now); t != nil {
		got = t.Value
	}
	if got != want {
		d.t.Fatalf("PopExpired(%d) = timer %d, want %d", now, got, want)
	}
	if want >= 0 {
		d.m.stop(want)
	}
	return want >= 0
}

func (d *duel) check() {
	d.t.Helper()
	if got, want := d.q.Len(), d.m.len(); got != want {
		d.t.Fatalf("Len() = %d, want %d", got, want)
	}
	check(d.t, &d.q)
}

// check fails if an invariant of the package comment does not hold.
func check[T any](t *testing.T, q *Queue[T]) {
	t.Helper()
	live := len(q.heap)
	for i, e := range q.heap {
		if e.deadline != e.timer.deadline || int(e.timer.place) != i+1 || !e.timer.pending || e.timer.late {
			t.Fatalf("heap entry %d does not agree with its timer %+v", i, *e.timer)
		}
		if i > 0 && e.before(q.heap[(i-1)/arity]) {
			t.Fatalf("heap entry %d is before its parent", i)
		}
	}
	late := 0
	for cell, x := range q.cells {
		level, slot := cell>>slotBits, cell&slotMask
		if used := q.used[level]>>slot&1 == 1; used != (x != nil) {
			t.Fatalf("cell %d: used = %v, but its first timer is %p", cell, used, x)
		}
		if q.used[level] != 0 && q.usedLevels>>level&1 == 0 {
			t.Fatalf("level %d is in use and not marked so", level)
		}
		var prev *Timer[T]
		for ; x != nil; prev, x = x, x.next {
			switch {
			case x.prev != prev || x.place != ^int32(cell):
				t.Fatalf("cell %d: wrong links in %+v", cell, *x)
			case !x.pending && !x.late:
				t.Fatalf("cell %d: a stopped timer is forgotten", cell)
			case x.pending && x.deadline < q.bound:
				t.Fatalf("bound is %d, but a timer in the wheel is due at %d", q.bound, x.deadline)
			case x.pending && !x.late && x.deadline < q.start(int32(cell)):
				t.Fatalf("cell %d starts at %d and has a timer due at %d", cell, q.start(int32(cell)), x.deadline)
			}
			if x.pending {
				live++
			}
			if x.late {
				late++
			}
		}
	}
	if late != q.lates || late >= lateLen {
		t.Fatalf("%d timers are marked late, %d are noted", late, q.lates)
	}
	if live != q.live {
		t.Fatalf("%d pending timers found, %d counted", live, q.live)
	}
}

// deadline picks a time near now on one of many scales, with ties, limits and past times among them.
func (d *duel) deadline(kind uint8, raw uint64) int64 {
	if d.dense {
		return d.after(raw % (1 << 16))
	}
	switch kind % 8 {
	case 0:
		return d.now - int64(raw%(1<<30))
	case 1:
		return d.now
	case 2:
		return math.MaxInt64 - int64(raw%4)
	case 3:
		return d.after(raw % 16 << 20) // on the edges of cells
	default:
		return d.after(raw >> (1 + raw%63)) // any scale
	}
}

func (d *duel) after(nanos uint64) int64 {
	if nanos > uint64(math.MaxInt64-d.now) {
		return math.MaxInt64
	}
	return d.now + int64(nanos)
}

// step does one call: op chooses which, i the timer.
func (d *duel) step(op uint8, i int, raw uint64) {
	switch op % 16 {
	case 0:
		d.earliest()
	case 1:
		for d.pop(d.after(raw >> (8 + raw%56))) { // time goes on, from nothing to two years
		}
	case 2:
		now := d.now
		d.pop(now - int64(raw>>30)) // the clock goes back
		d.now = now
	case 3:
		if first := d.m.first(); first >= 0 {
			d.set(first, d.deadline(uint8(raw>>56), raw<<8))
		}
	case 4:
		if first := d.m.first(); first >= 0 && d.m.timers[first].deadline > d.now {
			d.pop(d.m.timers[first].deadline - 1) // not yet
			d.pop(d.m.timers[first].deadline)
		}
	case 5, 6, 7, 8:
		d.stop(i)
	default:
		d.set(i, d.deadline(uint8(raw>>56), raw<<8))
	}
}

func TestAgainstModel(t *testing.T) {
	for _, timers := range []int{1, 2, 5, 40, 200} {
		for seed := range uint64(4) {
			rng := rand.New(rand.NewPCG(seed, uint64(timers)))
			d := newDuel(t, timers)
			d.dense = seed == 0
			for n := range 60_000 {
				d.step(uint8(rng.Uint32()), rng.IntN(timers), rng.Uint64())
				if n%256 == 0 {
					d.check()
				}
				if d.now == math.MaxInt64 {
					d = newDuel(t, timers)
				}
			}
			for d.pop(math.MaxInt64) {
			}
			d.check()
		}
	}
}

// FuzzQueue reads calls of 10 bytes: which one, which timer, and a number.
func FuzzQueue(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 4 {
		seed := make([]byte, 500)
		for i := range seed {
			seed[i] = byte(rng.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, calls []byte) {
		const timers = 40
		d := newDuel(t, timers)
		for ; len(calls) >= 10; calls = calls[10:] {
			d.step(calls[0], int(calls[1])%timers, binary.LittleEndian.Uint64(calls[2:]))
		}
		d.check()
		for d.pop(math.MaxInt64) {
		}
		d.check()
	})
}
