package ringport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

const benchBlocks = 1024 // of 4 KiB

func benchFile(b *testing.B) (name string) {
	b.Helper()
	name = filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, benchBlocks*4096), 0o666); err != nil {
		b.Fatal(err)
	}
	return name
}

// benchReadAt reads cached 4 KiB blocks at random with 1 and 2 goroutines.
func benchReadAt(b *testing.B, readAt func(p []byte, off int64) (int, error)) {
	for _, goroutines := range []int{1, 2} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			b.SetBytes(4096)
			b.ReportAllocs()
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					buf := make([]byte, 4096)
					random := rand.New(rand.NewPCG(1, uint64(g)))
					for range b.N / goroutines {
						if n, err := readAt(buf, random.Int64N(benchBlocks)*4096); n != len(buf) || err != nil {
							b.Error(n, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func BenchmarkFileReadAtCached(b *testing.B) {
	m := open(b, Config{})
	f, err := m.Open(b.Context(), benchFile(b))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	benchReadAt(b, f.ReadAt)
}

func BenchmarkOSReadAtCached(b *testing.B) {
	f, err := os.Open(benchFile(b))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	benchReadAt(b, f.ReadAt)
}

// The same write at the same place, over and over.
func benchWriteAt(b *testing.B, writeAt func(p []byte, off int64) (int, error)) {
	b.SetBytes(4096)
	b.ReportAllocs()
	buf := make([]byte, 4096)
	for b.Loop() {
		if _, err := writeAt(buf, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFileWriteAt(b *testing.B) {
	m := open(b, Config{})
	f, err := m.OpenFile(b.Context(), benchFile(b), os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	benchWriteAt(b, f.WriteAt)
}

func BenchmarkOSWriteAt(b *testing.B) {
	f, err := os.OpenFile(benchFile(b), os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	benchWriteAt(b, f.WriteAt)
}

// BenchmarkFilePipe passes 4 KiB through a pipe, with a context that could end it.
func BenchmarkFilePipe(b *testing.B) {
	m := open(b, Config{})
	rh, wh := pipe(b, m)
	r, err := m.NewFile(rh, "pipe")
	if err != nil {
		b.Fatal(err)
	}
	w, err := m.NewFile(wh, "pipe")
	if err != nil {
		b.Fatal(err)
	}
	r, w = r.WithContext(b.Context()), w.WithContext(b.Context())
	b.SetBytes(4096)
	b.ReportAllocs()
	buf, got := make([]byte, 4096), make([]byte, 4096)
	for b.Loop() {
		if _, err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
		if n, err := r.Read(got); n != len(got) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkFileOpenClose(b *testing.B) {
	m, name := open(b, Config{}), benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		f, err := m.Open(context.Background(), name)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkOSOpenClose(b *testing.B) {
	name := benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
