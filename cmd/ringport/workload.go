package main

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

// engineSpec is what an engine's process is told once: the file and the work. Block is in bytes.
type engineSpec struct {
	Engine      string
	Name        string     // the file's, for errors
	File        engineFile // how the engine gets it
	Block       int64
	Depth       int
	ReadPercent int
	Sequential  bool
	Verify      bool
}

// picker says where the next operation goes, and whether it writes. Each goroutine has its own.
type picker struct {
	rng         rand.PCG
	blocks      uint64
	readPercent int
	sequence    *atomic.Uint64 // shared by all; nil: random
}

func (r *round) picker() picker {
	p := picker{rng: *rand.NewPCG(rand.Uint64(), rand.Uint64()), blocks: uint64(r.size / r.spec.Block), readPercent: r.spec.ReadPercent}
	if r.spec.Sequential {
		p.sequence = &r.sequence
	}
	return p
}

// next returns the next block's number.
func (p *picker) next() (block int64, write bool) {
	if p.sequence != nil {
		block = int64((p.sequence.Add(1) - 1) % p.blocks)
	} else {
		// The high half of the product is evenly spread below blocks, without a division.
		high, _ := bits.Mul64(p.rng.Uint64(), p.blocks)
		block = int64(high)
	}
	switch p.readPercent {
	case 100:
		return block, false
	case 0:
		return block, true
	}
	return block, p.rng.Uint64()%100 >= uint64(p.readPercent)
}

// A file that bench makes carries in each sector its own number, so that a test can tell that a read brought what it should.
const (
	sectorBytes = 512
	sectorMark  = 0x72696e67706f7274 // so that zeros are no sector's content
)

// stamp marks the sectors of b, which will be at off in the file.
func stamp(b []byte, off int64) {
	for i := 0; i+8 <= len(b); i += sectorBytes {
		binary.LittleEndian.PutUint64(b[i:], sectorMark^uint64((off+int64(i))/sectorBytes))
	}
}

// checkStamps reports what in b, which was read at off, is not what stamp wrote.
func checkStamps(b []byte, off int64) error {
	for i := 0; i+8 <= len(b); i += sectorBytes {
		at := off + int64(i)
		if binary.LittleEndian.Uint64(b[i:]) != sectorMark^uint64(at/sectorBytes) {
			return fmt.Errorf("wrong content at byte %d", at)
		}
	}
	return nil
}

// fillRandom fills b with what no disk can compress.
func fillRandom(b []byte, rng *rand.PCG) {
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, rng.Uint64())
	}
	for i := range b {
		b[i] = byte(rng.Uint64())
	}
}
