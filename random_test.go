package ringport

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var seedFlag = flag.Uint64("ringport.seed", 0, "seed of the random tests; 0: a new one")

// testSeed is the seed of a random test, which it logs.
func testSeed(t testing.TB) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-ringport.seed=%d repeats this run, as far as the scheduler does", seed)
	return seed
}
