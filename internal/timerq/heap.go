package timerq

// entry is a place in the heap. It repeats the deadline, so that comparing does not reach for the timers.
type entry[T any] struct {
	deadline int64
	timer    *Timer[T]
}

func (e entry[T]) before(f entry[T]) bool {
	return e.deadline < f.deadline || e.deadline == f.deadline && e.timer.seq < f.timer.seq
}

// arity is the number of children: four entries are one cache line.
const arity = 4

// push adds t to the heap.
func (q *Queue[T]) push(t *Timer[T]) {
	q.heap = append(q.heap, entry[T]{})
	q.up(len(q.heap)-1, entry[T]{t.deadline, t})
}

// remove takes t out of the heap.
func (q *Queue[T]) remove(t *Timer[T]) {
	i := int(t.place) - 1
	t.place = 0
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap[last] = entry[T]{}
	q.heap = q.heap[:last]
	switch {
	case i == last:
	case i > 0 && moved.before(q.heap[(i-1)/arity]):
		q.up(i, moved)
	default:
		q.down(i, moved)
	}
}

// up puts e at index i or, while it belongs before them, in the place of i's ancestors.
func (q *Queue[T]) up(i int, e entry[T]) {
	for i > 0 {
		parent := (i - 1) / arity
		if !e.before(q.heap[parent]) {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	q.put(i, e)
}

// down puts e at index i or, while they belong before it, in the place of the first of i's children.
func (q *Queue[T]) down(i int, e entry[T]) {
	for {
		child := i*arity + 1
		if child >= len(q.heap) {
			break
		}
		first := child
		for c := child + 1; c < min(child+arity, len(q.heap)); c++ {
			if q.heap[c].before(q.heap[first]) {
				first = c
			}
		}
		if !q.heap[first].before(e) {
			break
		}
		q.put(i, q.heap[first])
		i = first
	}
	q.put(i, e)
}

func (q *Queue[T]) put(i int, e entry[T]) {
	q.heap[i] = e
	e.timer.place = int32(i) + 1
}
