package iocp

import (
	"os"
	"runtime"
	"unsafe"

	"github.com/ringport/ringport/internal/driver"
)

// The system transfers several buffers at once only if they are whole pages of an unbuffered file. Others go through one buffer, the bounce,
// which the block keeps for its next use: calls one after the other would be several messages, or a read that waits when it has something
// already.
const (
	keptBytes    = 1 << 20         // the longest bounce that is kept
	keptBytesAll = 64 * keptBytes  // the same, of all blocks together
	keptSegments = keptBytes / 256 // the longest list of pages
)

// maxVec is the most buffers that a request may have: what other systems take (IOV_MAX).
const maxVec = 1024

func tooManyBuffers(r *driver.Request) bool { return r.Ext != nil && len(r.Ext.Vec) > maxVec }

var pageBytes = os.Getpagesize()

// segment lists the pages of the buffers for ReadFileScatter and WriteFileGather, and pins all. It returns how many bytes they are, 0 if the
// system wouldn't take them. Rule: the addresses stay true until the completion, since the buffers are pinned and the request refers to them.
func (b *block) segment(vec [][]byte) uint32 {
	off := int64(b.ov.OffsetHigh)<<32 | int64(b.ov.Offset)
	if !b.attached || !b.disk || !b.direct || off%int64(pageBytes) != 0 { // an append has no such offset
		return 0
	}
	size, filled := 0, 0
	for _, v := range vec {
		if len(v)%pageBytes != 0 || uintptr(unsafe.Pointer(unsafe.SliceData(v)))%uintptr(pageBytes) != 0 && len(v) > 0 {
			return 0
		}
		size += len(v)
		filled += min(len(v), 1)
	}
	if filled <= 1 || size > driver.MaxTransferBytes {
		return 0
	}
	b.segments = b.segments[:0]
	for _, v := range vec {
		if len(v) == 0 {
			continue
		}
		b.pins.pin(unsafe.SliceData(v))
		for i := 0; i < len(v); i += pageBytes {
			b.segments = append(b.segments, uint64(uintptr(unsafe.Pointer(&v[i]))))
		}
	}
	b.segments = append(b.segments, 0)
	b.pins.pin(&b.segments[0])
	return uint32(size)
}

// gather is the only buffer of r that is not empty, or else the bounce, with what is to be written.
func (b *block) gather(r *driver.Request) []byte {
	var only []byte
	filled := 0
	for _, v := range r.Ext.Vec {
		if len(v) > 0 {
			only = v
			filled++
		}
	}
	if filled <= 1 {
		return only
	}
	b.bounce = b.room(min(r.Wanted(), driver.MaxTransferBytes))
	if !reads(r.Kind) {
		whole := b.bounce
		for _, v := range r.Ext.Vec {
			whole = whole[copy(whole, v):]
		}
	}
	return b.bounce
}

// room is the block's own memory, aligned to pages as unbuffered files want it.
func (b *block) room(bytes int) []byte {
	if bytes > len(b.kept) {
		pages := (bytes + pageBytes - 1) / pageBytes * pageBytes
		b.kept = make([]byte, pages+pageBytes)
		past := int(uintptr(unsafe.Pointer(&b.kept[0])) % uintptr(pageBytes))
		b.kept = b.kept[(pageBytes-past)%pageBytes:]
	}
	return b.kept[:bytes]
}

// scatter hands what was read into the bounce to the several buffers.
func (b *block) scatter(n int) {
	if b.bounce == nil || !reads(b.r.Kind) {
		return
	}
	whole := b.bounce[:n]
	for _, v := range b.r.Ext.Vec {
		whole = whole[copy(v, whole):]
	}
}

// keepRoom lets go of b's bounce, but for what is worth to be kept. The lock is held.
func (d *Driver) keepRoom(b *block) {
	b.bounce = nil
	d.kept -= b.counted
	if b.counted = len(b.kept); b.counted > keptBytes+pageBytes || d.kept+b.counted > keptBytesAll {
		b.kept, b.counted = nil, 0
	}
	d.kept += b.counted
	if cap(b.segments) > keptSegments {
		b.segments = nil
	}
}

// pins are any number of pinned objects. A Pinner has room for five, and forgets more room when it is used again.
type pins struct {
	pinners []runtime.Pinner
	n       int
}

const pinnerRoom = 5

func (p *pins) pin(first any) {
	if p.n == pinnerRoom*len(p.pinners) {
		p.pinners = append(p.pinners, runtime.Pinner{})
	}
	p.pinners[p.n/pinnerRoom].Pin(first)
	p.n++
}

func (p *pins) unpin() {
	for i := 0; i*pinnerRoom < p.n; i++ {
		p.pinners[i].Unpin()
	}
	p.n = 0
}
