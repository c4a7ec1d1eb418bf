package shard

import (
	"fmt"
	"sync"
	"testing"
)

func TestCounterSumsEveryAdd(t *testing.T) {
	var c Counter
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 1000 {
				c.Add()
			}
		})
	}
	wg.Wait()
	if got := c.Load(); got != 16000 {
		t.Fatalf("sum is %d, want 16000", got)
	}
}

func BenchmarkAddParallel(b *testing.B) {
	var c Counter
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Add()
		}
	})
}

func Example() {
	var c Counter
	c.Add()
	c.Add()
	fmt.Println(c.Load())
	// Output: 2
}
