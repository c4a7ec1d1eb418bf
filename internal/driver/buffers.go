package driver

import "sync"

// Buffers are buffers of one size, numbered from 1, that receives take when there is something to receive, so that those who wait need none.
type Buffers struct {
	SizeBytes int
	Count     int
	Platform  any // the driver's

	slab []byte // the first Count of them

	mu   sync.Mutex
	more [][]byte // those that Pick has made
	free []int    // for drivers that pick themselves
}

// NewBuffers makes count buffers.
func NewBuffers(count, sizeBytes int) *Buffers {
	return &Buffers{SizeBytes: sizeBytes, Count: count, slab: make([]byte, count*sizeBytes)}
}

// Bytes is buffer number i.
func (b *Buffers) Bytes(i int) []byte {
	if i <= b.Count {
		return b.slab[(i-1)*b.SizeBytes : i*b.SizeBytes : i*b.SizeBytes]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.more[i-1-b.Count]
}

// Free makes buffer i one for Pick, for drivers that pick buffers themselves.
func (b *Buffers) Free(i int) {
	b.mu.Lock()
	b.free = append(b.free, i)
	b.mu.Unlock()
}

// FreeAll makes all buffers free.
func (b *Buffers) FreeAll() {
	for i := b.Count; i > 0; i-- {
		b.Free(i)
	}
}

// PickedBuffers are the methods of a Driver that picks buffers itself when there is something to receive, and so need not be told of them.
type PickedBuffers struct{}

// AddBuffers makes all buffers ones to be picked.
func (PickedBuffers) AddBuffers(b *Buffers) error {
	b.FreeAll()
	return nil
}

// DropBuffers has nothing to undo.
func (PickedBuffers) DropBuffers(*Buffers) error { return nil }

// GiveBack makes a buffer one to be picked again.
func (PickedBuffers) GiveBack(b *Buffers, buffer int) { b.Free(buffer) }

// Pick takes a free buffer. If there is none it makes one more: who picks may not be kept waiting, and is bounded by other means.
func (b *Buffers) Pick() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		i := b.free[n-1]
		b.free = b.free[:n-1]
		return i
	}
	b.more = append(b.more, make([]byte, b.SizeBytes))
	return b.Count + len(b.more)
}
