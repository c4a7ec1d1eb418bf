package ringport

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
)

// stressPipe is a pipe with one end given to operations and the other one kept.
type stressPipe struct {
	theirs, ours Handle
	tag          byte         // every byte in it
	operations   atomic.Int64 // bytes that operations say they moved
	kept         atomic.Int64 // bytes that went in or out at our end
}

// open makes the pipe for m. Those with an even tag are in another mode: both occur.
func (p *stressPipe) open(t *testing.T, m *Manager, tag byte, in bool) {
	t.Helper()
	r, w, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.tag, p.theirs, p.ours = tag, w, r
	if in {
		p.theirs, p.ours = r, w
	}
	if err := otherMode(m, p.theirs, tag%2 == 0); err != nil {
		t.Fatal(err)
	}
}

func (p *stressPipe) close() {
	closeRaw(p.theirs)
	closeRaw(p.ours)
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// drain takes out what is there, up to the length of buf.
func (p *stressPipe) drain(t *testing.T, buf []byte) (n int) {
	n, err := tryRead(p.ours, buf)
	if err != nil {
		return 0
	}
	if !allAre(buf[:n], p.tag) {
		t.Errorf("a pipe of %d got % x", p.tag, buf[:min(n, 32)])
	}
	p.kept.Add(int64(n))
	return n
}

func allAre(b []byte, v byte) bool { return bytes.Count(b, []byte{v}) == len(b) }

// graveyard keeps the memory of finished operations for a while, poisoned, to see whether anything is written into it.
type graveyard struct {
	mu     sync.Mutex
	graves [][]byte
}

var poisonPattern = bytes.Repeat([]byte{stressPoison}, len(guardPattern))

func (g *graveyard) bury(memory []byte) {
	copy(memory, poisonPattern)
	g.mu.Lock()
	g.graves = append(g.graves, memory)
	g.mu.Unlock()
}

// get returns memory for the next operation: new, or the oldest of many graves.
func (g *graveyard) get(t *testing.T) (memory []byte) {
	g.mu.Lock()
	if len(g.graves) >= 1000 {
		memory = g.graves[0]
		g.graves[0] = nil
		g.graves = g.graves[1:]
	}
	g.mu.Unlock()
	if memory == nil {
		return make([]byte, len(guardPattern))
	}
	checkGrave(t, memory)
	return memory
}

func (g *graveyard) checkAll(t *testing.T) {
	for _, memory := range g.graves {
		checkGrave(t, memory)
	}
}

func checkGrave(t *testing.T, memory []byte) {
	if !bytes.Equal(memory, poisonPattern) {
		t.Errorf("memory was written to after its operation had ended; it begins with % x", memory[:64])
	}
}
