package timerq

import "math/bits"

const (
	unitBits = 20 // a cell of level 0 is 2^20 ns wide, about a millisecond
	slotBits = 6
	slots    = 1 << slotBits // cells in a level: one bit each in a uint64
	slotMask = slots - 1
	levels   = 63 - unitBits - slotBits + 1 // enough for any deadline from 0 to MaxInt64
)

// file puts t, which is linked nowhere, where its deadline belongs.
func (q *Queue[T]) file(t *Timer[T]) {
	if t.deadline < q.base {
		q.push(t) // before the first cell
		return
	}
	level := max(bits.Len64(uint64(t.deadline-q.base))-unitBits-slotBits, 0)
	if shift := unitBits + level; t.deadline>>shift-q.base>>shift == slots {
		level++ // 64 cells from the middle of base's cell end in the middle of the 65th
	}
	slot := int(t.deadline>>(unitBits+level)) & slotMask
	cell := level<<slotBits | slot

	head := q.cells[cell]
	t.next = head
	if head != nil {
		head.prev = t
	}
	q.cells[cell] = t
	t.place = ^int32(cell)
	q.used[level] |= 1 << slot
	q.usedLevels |= 1 << level
	q.bound = min(q.bound, t.deadline)
}

// unlink takes t out of its cell.
func (q *Queue[T]) unlink(t *Timer[T]) {
	cell, next, prev := ^t.place, t.next, t.prev
	t.place, t.next, t.prev = 0, nil, nil
	if next != nil {
		next.prev = prev
	}
	if prev != nil {
		prev.next = next
		return
	}
	q.cells[cell] = next
	if next == nil {
		q.markEmpty(cell)
	}
}

func (q *Queue[T]) markEmpty(cell int32) {
	level := cell >> slotBits
	q.used[level] &^= 1 << (cell & slotMask)
	if q.used[level] == 0 {
		q.usedLevels &^= 1 << level
	}
}

// postpone leaves it to flush to take t out of its cell.
func (q *Queue[T]) postpone(t *Timer[T]) {
	if t.late {
		return
	}
	t.late = true
	q.late[q.lates] = t
	q.lates++
	if q.lates == lateLen {
		q.flush()
	}
}

// flush does what was postponed.
func (q *Queue[T]) flush() {
	late := q.late[:q.lates]
	// A loop on its own, so that the processor fetches all neighbours at the same time. It reads what unlink will write.
	for _, t := range late {
		if t.next != nil && t.next.prev != t || t.prev != nil && t.prev.next != t {
			panic("timerq: a timer was copied, or used with two queues")
		}
	}
	for i, t := range late {
		late[i] = nil
		t.late = false
		switch {
		case !t.pending:
			q.unlink(t)
		case t.deadline < q.start(^t.place):
			q.unlink(t)
			q.file(t)
		}
	}
	q.lates = 0
}

// start returns when a cell starts: of all the times that share its number, the first that is not over at base.
func (q *Queue[T]) start(cell int32) int64 {
	shift := unitBits + cell>>slotBits
	current := q.base >> shift
	return (current + (int64(cell)-current)&slotMask) << shift
}

// first returns the used cell that starts first.
func (q *Queue[T]) first() (cell int32, start int64, ok bool) {
	for rest := q.usedLevels; rest != 0; rest &= rest - 1 {
		level := bits.TrailingZeros64(rest)
		current := int(q.base>>(unitBits+level)) & slotMask
		ahead := bits.TrailingZeros64(bits.RotateLeft64(q.used[level], -current))
		c := int32(level<<slotBits | (current+ahead)&slotMask)
		if s := q.start(c); !ok || s < start {
			cell, start, ok = c, s, true
		}
	}
	return cell, start, ok
}

// open moves the timers of a cell to the heap, except those that were set to a time after the cell: they are filed again.
func (q *Queue[T]) open(cell int32) {
	shift := unitBits + cell>>slotBits
	number := q.start(cell) >> shift
	t := q.cells[cell]
	q.cells[cell] = nil
	q.markEmpty(cell)
	for t != nil {
		next := t.next
		t.place, t.next, t.prev = 0, nil, nil
		if t.deadline>>shift == number {
			q.push(t)
		} else {
			q.file(t)
		}
		t = next
	}
}
