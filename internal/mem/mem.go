// Package mem holds what the files of the root package need of the memory they are given: aligned buffers, and bytes without
// a copy.
package mem

import "unsafe"

// Aligned returns size zero bytes whose first address is a multiple of alignment, a power of two.
func Aligned(size, alignment int) []byte {
	b := make([]byte, size+alignment-1)
	skip := 0
	if rest := int(address(b)) & (alignment - 1); rest != 0 {
		skip = alignment - rest
	}
	return b[skip : skip+size : skip+size]
}

// IsAligned reports whether the first address of b is a multiple of alignment, a power of two.
func IsAligned(b []byte, alignment int) bool { return int(address(b))&(alignment-1) == 0 }

// address is where b begins. Rule: it is a number here, for arithmetic alone, and never becomes a pointer again; what is on
// the heap does not move, so that it stays right for a buffer that has escaped, as every buffer of an Op has.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// Bytes is s as a slice. Rule: strings are immutable, so nobody may write to it; it is for what the system only reads.
func Bytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
