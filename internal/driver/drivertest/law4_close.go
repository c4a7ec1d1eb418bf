package drivertest

import (
	"os"

	"github.com/ringport/ringport/internal/driver"
)

// Law 4: Close releases everything. That no goroutine and no descriptor is left is checked after every test; those here close at
// odd moments.
var closeTests = []test{
	{name: "Law4CloseUnused", run: closeUnused},
	{name: "Law4CloseAtOnce", run: closeAtOnce},
	{name: "Law4CloseAfterCancelAll", run: closeAfterCancelAll},
	{name: "Law4CloseAfterWake", run: func(f *fixture) { f.d.Wake(); f.close() }},
	{name: "Law4CloseReleasesRegistered", run: closeRegistered},
	{name: "Law4DriversAreApart", run: apart},
}

// another opens one more driver with the mode and the books of f.
func (f *fixture) another() *fixture {
	f.Helper()
	d, err := f.open(driver.Options{Owned: f.owned, Depth: usualDepth, MaxThreads: usualThreads})
	if err != nil {
		f.Fatalf("open: %v", err)
	}
	return &fixture{T: f.T, d: d, open: f.open, owned: f.owned, flight: map[*driver.Request]chan struct{}{},
		batch: make([]*driver.Request, 32), handles: f.handles}
}

func closeUnused(f *fixture) {
	for range 50 {
		f.another().close()
	}
}

func closeAtOnce(f *fixture) {
	file := f.openFile(f.tempFile("content"), os.O_RDONLY)
	for range 50 {
		g := f.another()
		g.must(read(file, 16, 0), 7)
		g.close()
	}
}

func closeAfterCancelAll(f *fixture) {
	for range 10 {
		g := f.another()
		waiting(g, 20)
		g.d.CancelAll()
		g.drain()
		g.close()
	}
}

// closeRegistered: the end of a pipe that a driver holds registered keeps the pipe open until the driver is closed.
func closeRegistered(f *fixture) {
	r, w := f.pipe()
	g := f.another()
	if err := g.d.RegisterFiles([]driver.Handle{w}); err != nil {
		f.Fatal(err)
	}
	if err := g.d.RegisterBuffers([][]byte{make([]byte, 4096)}); err != nil {
		f.Fatal(err)
	}
	f.closeHandle(w)
	g.must(write(driver.RegisteredHandle(0), "data", driver.CurrentOffset), 4)
	g.close()
	q := read(r, 16, driver.CurrentOffset)
	f.must(q, 4)
	f.must(q, 0) // the end
}

// apart: requests of one driver know nothing of another's.
func apart(f *fixture) {
	g := f.another()
	r, w := f.pipe()
	mine, theirs := read(r, 4, driver.CurrentOffset), waiting(g, 1)[0]
	f.start(mine)
	f.stay(mine)
	g.d.CancelAll()
	g.canceled(theirs)
	f.stay(mine)
	g.close()
	f.put(w, "data")
	if f.await(mine); got(mine) != "data" {
		f.Errorf("%q, %v", got(mine), mine.Err)
	}
}
