package iocp

import (
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
)

// TestSegments: which buffers the system can transfer as they are.
func TestSegments(t *testing.T) {
	page := pageBytes
	pages := (&block{}).room(16 * page)
	part := func(from, to int) []byte { return pages[from:to] }
	direct := traits{attached: true, disk: true, direct: true}
	for _, c := range []struct {
		name string
		vec  [][]byte
		off  uint32
		traits
		want int
	}{
		{"pages", [][]byte{part(page, 2*page), part(4*page, 7*page)}, 0, direct, 4 * page},
		{"empty ones between", [][]byte{nil, part(page, 2*page), {}, part(0, page), part(3, 3)}, 0, direct, 2 * page},
		{"at a page", [][]byte{part(0, page), part(0, page)}, uint32(page), direct, 2 * page},
		{"one", [][]byte{nil, part(0, page)}, 0, direct, 0},
		{"none", [][]byte{nil, {}}, 0, direct, 0},
		{"in a page", [][]byte{part(0, page), part(0, page)}, 512, direct, 0},
		{"not aligned", [][]byte{part(0, page), part(512, page+512)}, 0, direct, 0},
		{"half a page", [][]byte{part(0, page/2), part(page, page+page/2)}, 0, direct, 0},
		{"cached", [][]byte{part(0, page), part(0, page)}, 0, traits{attached: true, disk: true}, 0},
		{"another port's", [][]byte{part(0, page), part(0, page)}, 0, traits{disk: true, direct: true}, 0},
		{"too much", slices.Repeat([][]byte{pages}, driver.MaxTransferBytes/len(pages)+1), 0, direct, 0},
	} {
		b := &block{target: target{traits: c.traits}, ov: windows.Overlapped{Offset: c.off}}
		if got := b.segment(c.vec); int(got) != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
		if c.want > 0 && (len(b.segments) != c.want/page+1 || b.segments[len(b.segments)-1] != 0) {
			t.Errorf("%s: %x", c.name, b.segments)
		}
		b.pins.unpin()
	}
	b := &block{target: target{traits: direct}, ov: windows.Overlapped{Offset: 1<<32 - 1, OffsetHigh: 1<<32 - 1}}
	if got := b.segment([][]byte{part(0, page), part(0, page)}); got != 0 {
		t.Errorf("an append: %d bytes", got)
	}
}

// TestHazard15TooMuch: several buffers that have more than one transfer moves are cut as one is. The bounce is addresses without memory.
func TestHazard15TooMuch(t *testing.T) {
	const bytes = driver.MaxTransferBytes + 1<<20
	address, err := windows.VirtualAlloc(0, bytes, windows.MEM_RESERVE, windows.PAGE_NOACCESS)
	if err != nil {
		t.Fatal(err)
	}
	defer windows.VirtualFree(address, 0, windows.MEM_RELEASE)
	nothing := unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), bytes)
	for _, r := range []*driver.Request{
		{Kind: driver.Readv, Ext: &driver.Ext{Vec: [][]byte{nothing[:driver.MaxTransferBytes], nothing[driver.MaxTransferBytes:]}}},
		{Kind: driver.Readv, Ext: &driver.Ext{Vec: [][]byte{nil, nothing}}},
		{Kind: driver.Read, Buf: nothing},
	} {
		b := &block{r: r, kept: nothing}
		if at, n := b.buffer(); n != driver.MaxTransferBytes || at != &nothing[0] {
			t.Errorf("%v: %d bytes at %p", r.Kind, n, at)
		}
		b.pins.unpin()
	}
}

// TestKeptRoom: a block keeps its bounce unless it is too long, or the blocks have enough of them.
func TestKeptRoom(t *testing.T) {
	d := &Driver{}
	bs := make([]*block, 100)
	for i := range bs {
		bs[i] = &block{}
		bs[i].room(keptBytes)
		d.keepRoom(bs[i])
	}
	if d.kept > keptBytesAll || d.kept < keptBytesAll/2 || bs[0].kept == nil || bs[99].kept != nil {
		t.Errorf("%d bytes are kept", d.kept)
	}
	bs[0].room(keptBytes + 2*pageBytes)
	before := d.kept
	if d.keepRoom(bs[0]); bs[0].kept != nil || d.kept >= before {
		t.Errorf("%d bytes are kept, %d before", d.kept, before)
	}
}
