package mem

import (
	"bytes"
	"strings"
	"testing"
)

func TestAligned(t *testing.T) {
	for _, alignment := range []int{1, 2, 512, 4096, 1 << 16} {
		for _, size := range []int{0, 1, 511, 4096, 100_000} {
			b := Aligned(size, alignment)
			if len(b) != size || cap(b) != size || size > 0 && !IsAligned(b, alignment) || bytes.Count(b, []byte{0}) != size {
				t.Errorf("%d bytes at multiples of %d: length %d, capacity %d", size, alignment, len(b), cap(b))
			}
		}
	}
	if b := Aligned(8, 8); IsAligned(b[1:], 8) || !IsAligned(b[1:], 1) {
		t.Error("an odd address passes for an even one")
	}
}

func TestBytes(t *testing.T) {
	s := strings.Repeat("text", 3)
	if b := Bytes(s); string(b) != s || len(b) != len(s) {
		t.Errorf("%q", b)
	}
	if b := Bytes(""); len(b) != 0 {
		t.Errorf("%q", b)
	}
}
