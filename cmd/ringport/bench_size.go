package main

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// byteSize is a flag in bytes: 4096, 4k, 4KiB, 1.5g. As storage tools do, it takes k, m, g and t for powers of 1024.
type byteSize int64

var errByteSize = errors.New("not a size; examples: 4096, 4k, 64m, 1.5g")

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	digits := strings.ToLower(strings.TrimSpace(s))
	for _, suffix := range []string{"ib", "b"} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits = rest
			break
		}
	}
	factor := 1.0
	for i, unit := range []string{"k", "m", "g", "t"} {
		if rest, ok := strings.CutSuffix(digits, unit); ok {
			digits, factor = rest, math.Pow(1024, float64(i+1))
			break
		}
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		return errByteSize
	}
	// Whole bytes only, and as many as a file can have.
	if f *= factor; f != math.Trunc(f) || f >= math.MaxInt64 {
		return errByteSize
	}
	*b = byteSize(f)
	return nil
}

// String implements pflag.Value, and is how sizes are shown: 4 KiB.
func (b *byteSize) String() string { return formatSize(int64(*b)) }

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "SIZE" }

// formatSize shows n in the largest unit that leaves it exact, or else rounded: 4 KiB, 1.4 GiB.
func formatSize(n int64) string {
	for i, unit := range []string{" KiB", " MiB", " GiB", " TiB"} {
		if u := int64(1) << (10 * (i + 1)); n >= u && n%u == 0 && n/u < 1024 {
			return strconv.FormatInt(n/u, 10) + unit
		}
	}
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	return humanize.IBytes(uint64(n))
}
