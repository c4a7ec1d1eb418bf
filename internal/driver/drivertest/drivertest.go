// Package drivertest is the conformance suite of the driver contract: it runs unchanged on every driver, in both modes. A
// driver's test is one call of [Run].
//
// Tests are named after the law that they check or the operation that they try; how-it-works.md lists the laws. All share one
// [fixture], which keeps the books: every request comes back once, and at the end of each test nothing is left of the driver,
// no goroutine and no descriptor. Nothing here measures time.
package drivertest

import (
	"cmp"
	"slices"
	"testing"

	"github.com/ringport/ringport/internal/driver"
)

// Opener opens the driver under test.
type Opener func(driver.Options) (driver.Driver, error)

// test is one entry of the suite. It runs in both modes unless it says otherwise.
type test struct {
	name  string
	run   func(f *fixture)
	modes modes
	// Options of the driver, where the test needs others than the usual ones.
	depth, threads int
}

type modes uint8

const (
	bothModes  modes = iota
	sharedOnly       // several goroutines use the driver
	ownedOnly
)

const (
	usualDepth   = 64
	usualThreads = 4
)

// Run runs the suite on the drivers that open opens, one driver a test: the tests named, all of them without a name. It does not
// run tests in parallel, and nothing else may run beside it: goroutines and descriptors are counted.
func Run(t *testing.T, open Opener, names ...string) {
	warmUp(t)
	var chosen []test
	for _, c := range append(portableTests(), platformTests()...) {
		if len(names) == 0 || slices.Contains(names, c.name) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 || len(names) > len(chosen) {
		t.Fatalf("no such tests: %q", names)
	}
	t.Run("shared", func(t *testing.T) { runAll(t, chosen, open, false) })
	t.Run("owned", func(t *testing.T) { runAll(t, chosen, open, true) })
}

func runAll(t *testing.T, suite []test, open Opener, owned bool) {
	for _, c := range suite {
		if c.modes == sharedOnly && owned || c.modes == ownedOnly && !owned {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			c.run(newFixture(t, open, driver.Options{Owned: owned, Depth: cmp.Or(c.depth, usualDepth),
				MaxThreads: cmp.Or(c.threads, usualThreads)}))
		})
	}
}

// portableTests are those that every platform runs; [platformTests] adds the platform's own.
func portableTests() []test {
	var all []test
	for _, family := range [][]test{onceTests, ownershipTests, cancelTests, closeTests, wakeTests, pollableTests, chainTests, socketTests,
		zeroCopyTests} {
		all = append(all, family...)
	}
	return all
}
