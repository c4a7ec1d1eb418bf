//go:build unix

package pool

import "github.com/ringport/ringport/internal/driver"

// list is a queue of requests, linked through their State. A request is in one list at most.
type list struct{ head, tail *driver.Request }

func (l *list) empty() bool { return l.head == nil }

func (l *list) push(r *driver.Request) {
	r.State.Prev, r.State.Next = l.tail, nil
	if l.tail == nil {
		l.head = r
	} else {
		l.tail.State.Next = r
	}
	l.tail = r
}

func (l *list) pushFront(r *driver.Request) {
	r.State.Prev, r.State.Next = nil, l.head
	if l.head == nil {
		l.tail = r
	} else {
		l.head.State.Prev = r
	}
	l.head = r
}

func (l *list) remove(r *driver.Request) {
	if r.State.Prev == nil {
		l.head = r.State.Next
	} else {
		r.State.Prev.State.Next = r.State.Next
	}
	if r.State.Next == nil {
		l.tail = r.State.Prev
	} else {
		r.State.Next.State.Prev = r.State.Prev
	}
	r.State.Prev, r.State.Next = nil, nil
}

func (l *list) pop() *driver.Request {
	r := l.head
	if r != nil {
		l.remove(r)
	}
	return r
}
