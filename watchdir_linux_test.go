package ringport

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

const watchedFiles = 100_000

const (
	movesWatched = true
	lagLoses     = false
)

func isBusy(error) bool { return false }

// collide makes, renames and removes files and directories of a few names, from several goroutines, so that nothing stays where it was for long.
func collide(t testing.TB, dir, outside string, seed uint64, operations int) {
	const workers = 3
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			path := func() string {
				p := dir
				if random.IntN(12) == 0 {
					p = outside
				}
				for range 1 + random.IntN(3) {
					p = filepath.Join(p, string(rune('a'+random.IntN(3))))
				}
				return p
			}
			for range operations {
				switch p := path(); random.IntN(8) { // whatever the system says to it
				case 0, 1, 2:
					os.Mkdir(p, 0o777)
				case 3:
					os.Remove(p)
				case 4:
					os.WriteFile(p, nil, 0o666)
				default:
					os.Rename(p, path())
				}
			}
		})
	}
	wg.Wait()
}

func TestWatchDir_Collisions(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		for seed := range uint64(20) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				dir, outside := t.TempDir(), t.TempDir()
				r := replayDuring(t, open(t, c), dir, func(func()) { collide(t, dir, outside, seed, 2000) })
				r.check(t)
				t.Logf("%d names at the end, %d rescans", len(r.top.paths()), r.rescans)
			})
		}
	})
}
