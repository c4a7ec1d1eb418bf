// Package timerq is the timer queue of the manager: a set of timers, each with an exact deadline, of which it always knows
// the earliest.
//
// It is made for the way timeouts are used. Nearly all of them are moved or stopped before they are due, so an edit must be
// cheap even among a million; and the loop that waits for the earliest one must know it to the nanosecond, or it would wake
// up for nothing.
//
// # Structure
//
//	base                                                                   deadline →
//	│
//	▼ heap: exact order    wheel: cells, each a list without order
//	┌───────────────────┐  ┌─┬─┬─┬─┬─┬─┬─┬─┬──┬──┬──┬──┬────┬────┬────┬────┬────────┬──
//	│ d₀  d₁  d₂  d₃  … │  │ │ │ │ │ │ │ │ │  │  │  │  │    │    │    │    │        │
//	└───────────────────┘  └─┴─┴─┴─┴─┴─┴─┴─┴──┴──┴──┴──┴────┴────┴────┴────┴────────┴──
//
// The wheel files a timer by its distance from base, the time up to which everything has been popped. It has levels of 64
// cells; a cell is twice as wide as a cell of the level below, and a timer goes to the lowest level that reaches its
// deadline. So beyond the first level a cell is at most 1/32 as wide as it is far away, some two thousand cells reach from a
// millisecond to 292 years, and filing is a shift and a push onto a list.
//
// When a cell may hold the earliest deadline it is opened: its timers move to the heap, which orders them exactly. They go
// there straight, no timer trickles from level to level. Opening a cell doesn't move base, only PopExpired does: if the only
// timer is an hour away, timers set after it for the next minute still go to narrow cells.
//
// Edits are lazy, because among a million timers the price is that of reaching memory:
//
//   - A timer that is set to a later time stays in its cell, and is filed again when the cell is opened. This is by far
//     the commonest edit, an idle timeout pushed further out, and it writes to the timer alone.
//   - A timer that is stopped or set to a time before its cell is noted in a short list, late. When late is full, or
//     the earliest deadline is asked for, all of them leave their cells at once. So the processor fetches the neighbours of
//     all 32 together, instead of waiting for them one by one. Under a lock and among a million timers, a Stop and a Set
//     took 517 ns without and 402 ns with it (AMD EPYC, medians of seven).
//
// # Invariants
//
//   - A linked timer that isn't in late is due at or after the start of its cell.
//   - bound is at most the deadline of any timer in the wheel. If the heap's first timer is due before bound, it is the
//     earliest of all.
//   - No cell that ends at or before base has a timer, so a cell's number, taken modulo 64, names one time only.
//   - At most 32 stopped timers are still linked, and none after Earliest or PopExpired: the queue keeps nothing alive.
//
// # Cost
//
// Set and Stop are O(1) in the wheel and O(log n) in the heap. Earliest and PopExpired are amortised: each edit pays for at
// most one filing, one opening and one place in the heap. Nothing is allocated but the heap's array, which keeps its largest
// size so far.
package timerq

import "math"

// lateLen is how many edits of cells are done together. Beyond 8 the gain is small, and each may keep a stopped timer alive.
const lateLen = 32

// Timer is an entry of a [Queue], to be placed inside the caller's own object. Value is the caller's, the queue doesn't touch
// it. The zero Timer is not pending.
//
// A Timer can be set and stopped any number of times, but it belongs to the first queue that it was set on, and must not be
// copied after that. With a Value of up to 24 bytes it takes one cache line.
type Timer[T any] struct {
	deadline   int64
	seq        uint64 // counts Sets, to decide between equal deadlines
	next, prev *Timer[T]
	place      int32 // > 0: heap index + 1, < 0: ^cell, 0: neither
	pending    bool
	late       bool // is in Queue.late

	Value T
}

// Queue is a set of pending timers. The zero Queue is empty and ready to use. It is not synchronised and must not be copied
// after first use.
//
// Times are nanoseconds of one monotonic clock. The queue starts at 0, whatever is below is in the past, and learns from
// PopExpired how far time has come. It is exact without, but fast only if it is told before a lot of timers are set, and
// then about as often as timers become due.
type Queue[T any] struct {
	seq  uint64
	live int

	announced      bool // whether Earliest found a timer, or one was set since
	announcedNanos int64

	heap  []entry[T]
	base  int64 // everything due before it has been popped
	bound int64 // at most the deadline of any timer in the wheel

	late  [lateLen]*Timer[T] // linked, but stopped or due before their cells
	lates int

	usedLevels uint64         // bit per level with a used cell
	used       [levels]uint64 // bit per cell with a timer
	cells      [levels * slots]*Timer[T]
}

// Set makes t due at deadlineNanos, whether or not it is pending. The deadline may be in the past.
//
// It reports whether t was pending, and whether a caller that waits for the earliest deadline has to be told: whether the new
// deadline is earlier than the last result of [Queue.Earliest] and than any deadline set since. An edit that makes the
// earliest deadline later is not reported: waking the caller for it would cost no less than the wake-up that it saves.
func (q *Queue[T]) Set(t *Timer[T], deadlineNanos int64) (wasPending, earlier bool) {
	q.seq++
	t.seq = q.seq
	t.deadline = deadlineNanos
	wasPending = t.pending
	if !wasPending {
		t.pending = true
		q.live++
	}
	switch {
	case t.place < 0:
		q.bound = min(q.bound, deadlineNanos)
		if deadlineNanos < q.start(^t.place) {
			q.postpone(t)
		}
	case t.place > 0:
		q.remove(t)
		q.file(t)
	default:
		q.file(t)
	}
	earlier = !q.announced || deadlineNanos < q.announcedNanos
	if earlier {
		q.announced, q.announcedNanos = true, deadlineNanos
	}
	return wasPending, earlier
}

// Stop takes t out of the queue. It reports whether t was pending.
func (q *Queue[T]) Stop(t *Timer[T]) (wasPending bool) {
	if !t.pending {
		return false
	}
	t.pending = false
	q.live--
	if t.place < 0 {
		q.postpone(t)
	} else {
		q.remove(t)
	}
	return true
}

// Earliest returns the earliest deadline of all pending timers, exactly. ok is false if there is none.
func (q *Queue[T]) Earliest() (deadlineNanos int64, ok bool) {
	q.settle()
	if len(q.heap) == 0 {
		q.announced = false
		return 0, false
	}
	q.announced, q.announcedNanos = true, q.heap[0].deadline
	return q.announcedNanos, true
}

// PopExpired takes the earliest timer out of the queue and returns it, if it is due at nowNanos or before. Otherwise it
// returns nil. Timers with the same deadline come in the order in which they were set.
//
// The caller repeats it until it gets nil. A timer set meanwhile with a deadline not after nowNanos comes in the same round.
func (q *Queue[T]) PopExpired(nowNanos int64) *Timer[T] {
	q.settle()
	if len(q.heap) == 0 || q.heap[0].deadline > nowNanos {
		// Every used cell ends after bound, hence after the first deadline, hence after now.
		q.base = max(q.base, nowNanos)
		return nil
	}
	t := q.heap[0].timer
	q.remove(t)
	t.pending = false
	q.live--
	return t
}

// Len returns the number of pending timers.
func (q *Queue[T]) Len() int { return q.live }

// settle opens cells until the heap's first timer is the earliest of all.
func (q *Queue[T]) settle() {
	q.flush()
	for len(q.heap) == 0 || q.heap[0].deadline >= q.bound {
		cell, start, ok := q.first()
		if !ok {
			q.bound = math.MaxInt64
			return
		}
		q.bound = start
		if len(q.heap) > 0 && q.heap[0].deadline < start {
			return
		}
		q.open(cell)
	}
}
