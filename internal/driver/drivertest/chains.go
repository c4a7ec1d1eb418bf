package drivertest

import (
	"os"
	"slices"

	"github.com/ringport/ringport/internal/driver"
)

// Chains: SubmitChain either says that it cannot, and has done nothing, or each request starts when the one before it has
// succeeded in full, and the rest are cancelled when one has not. Linux: fact 22.
var chainTests = []test{
	{name: "ChainRunsInOrder", run: chainOrder},
	{name: "ChainFailureCancelsTheRest", run: chainFailure},
	{name: "ChainFirstFailureCancelsAll", run: chainFirstFailure},
	{name: "ChainShortReadCancelsTheRest", run: chainShort},
	{name: "ChainCancelOfTheFirst", run: func(f *fixture) { chainCancel(f, 0) }},
	{name: "ChainCancelOfTheSecond", run: func(f *fixture) { chainCancel(f, 1) }},
	{name: "ChainCancelOfTheLast", run: func(f *fixture) { chainCancel(f, 3) }},
	{name: "ChainCancelWaitsForItsTurn", run: chainCancelTurn},
	{name: "ChainCancelBeforeSubmit", run: chainCancelBefore},
	{name: "ChainCancelAll", run: chainCancelAll},
	{name: "ChainWaitsForItsFirst", run: chainWaits},
	{name: "ChainLongerThanTheQueue", run: chainLong, depth: 8},
	{name: "ChainBehindUnsubmitted", run: chainBehind, depth: 8},
	{name: "ChainsBesideEachOther", run: chainsBeside, depth: 8},
}

// chain submits rs as a chain. False: the driver cannot, and has done nothing to them.
func (f *fixture) chain(rs ...*driver.Request) bool {
	f.Helper()
	for _, r := range rs {
		f.enter(r)
	}
	if f.d.SubmitChain(rs) {
		return true
	}
	f.mu.Lock()
	for _, r := range rs {
		delete(f.flight, r)
	}
	f.mu.Unlock()
	f.stay() // whatever comes back now is not in the books
	for _, r := range rs {
		if r.N != 0 || r.Err != nil || r.State != (driver.Private{}) {
			f.Errorf("%v of a chain that was refused: %d, %v, %+v", r.Kind, r.N, r.Err, r.State)
		}
	}
	return false
}

// appends are n writes of one digit each to the end of a file.
func appends(file driver.Handle, n int) []*driver.Request {
	var all []*driver.Request
	for i := range n {
		all = append(all, write(file, string(rune('0'+i)), driver.CurrentOffset))
	}
	return all
}

// appendFile is an empty file opened for appending.
func (f *fixture) appendFile() (path string, h driver.Handle) {
	path = f.tempFile("")
	return path, f.openFile(path, os.O_WRONLY|os.O_APPEND)
}

// expect compares a file with what a chain wrote, or did not write because the driver refused it.
func (f *fixture) expect(path string, chained bool, want string) {
	f.Helper()
	if !chained {
		want = ""
	}
	if s := f.content(path); s != want {
		f.Fatalf("written: %q, want %q", s, want)
	}
}

func chainOrder(f *fixture) {
	path, file := f.appendFile()
	all := append(appends(file, 6), &driver.Request{Kind: driver.Fdatasync, FD: file})
	chained := f.chain(all...)
	if !chained && f.d.Name() == "io_uring" {
		f.Fatal("io_uring links such requests, and the driver refused")
	}
	f.drain()
	f.expect(path, chained, "012345")
	for i, r := range all {
		if want := min(1, 6-i); chained && (r.N != want || r.Err != nil) {
			f.Errorf("request %d: %d, %v", i, r.N, r.Err)
		}
	}
}

func chainFailure(f *fixture) {
	path, file := f.appendFile()
	all := append(appends(file, 2), read(badHandle, 1, 0))
	all = append(all, appends(file, 3)...)
	chained := f.chain(all...)
	f.drain()
	f.expect(path, chained, "01")
	if chained {
		if err := all[2].Err; err == nil || err == driver.ErrCanceled {
			f.Errorf("the failure itself: %v", err)
		}
		f.canceled(all[3:]...)
	}
}

func chainFirstFailure(f *fixture) {
	path, file := f.appendFile()
	all := append([]*driver.Request{read(badHandle, 1, 0)}, appends(file, 3)...)
	chained := f.chain(all...)
	f.drain()
	f.expect(path, chained, "")
	if chained {
		if err := all[0].Err; err == nil || err == driver.ErrCanceled {
			f.Errorf("the failure itself: %v", err)
		}
		f.canceled(all[1:]...)
	}
}

func chainShort(f *fixture) {
	source := f.openFile(f.tempFile("short"), os.O_RDONLY)
	path, file := f.appendFile()
	all := append(appends(file, 1), read(source, 5, 0), read(source, 6, 0))
	all = append(all, appends(file, 2)...)
	chained := f.chain(all...)
	f.drain()
	f.expect(path, chained, "0")
	if chained {
		if got(all[1]) != "short" || got(all[2]) != "short" || all[2].Err != nil {
			f.Errorf("%q, %v, then %q, %v", got(all[1]), all[1].Err, got(all[2]), all[2].Err)
		}
		f.canceled(all[3:]...)
	}
}

// chainCancel cancels one of four while the first waits for its pipe. The chain ends there: what comes before may still
// happen, what comes after does not.
func chainCancel(f *fixture, victim int) {
	for range 20 {
		r, w := f.pipe()
		path, file := f.appendFile()
		all := append([]*driver.Request{read(r, 4, driver.CurrentOffset)}, appends(file, 3)...)
		if !f.chain(all...) {
			f.expect(path, false, "")
			return
		}
		f.stay(all...)
		f.cancel(all[victim])
		f.flush()
		if victim > 0 {
			f.put(w, "data")
		}
		f.await(all...)
		written := ""
		for i, q := range all[1:] {
			switch {
			case i+1 > victim && q.Err != driver.ErrCanceled && all[victim].Err == driver.ErrCanceled:
				f.Errorf("request %d of a chain cancelled at %d: %d, %v", i+1, victim, q.N, q.Err)
			case q.Err == nil:
				written += string(q.Buf)
			}
		}
		if victim == 0 {
			f.canceled(all[0])
		}
		f.expect(path, true, written)
	}
}

// chainCancelTurn: what is cancelled has not begun. When its turn comes it would wait for ever.
func chainCancelTurn(f *fixture) {
	for range 20 {
		a, feed := f.pipe()
		b, _ := f.pipe()
		path, file := f.appendFile()
		first, second := read(a, 4, driver.CurrentOffset), read(b, 4, driver.CurrentOffset)
		all := append([]*driver.Request{first, second}, appends(file, 2)...)
		if f.chain(all...) {
			f.stay(all...)
			f.cancel(second)
			f.put(feed, "data")
			f.await(all...)
			f.canceled(all[1:]...)
			if got(first) != "data" && first.Err != driver.ErrCanceled {
				f.Errorf("the first: %q, %v", got(first), first.Err)
			}
		}
		f.expect(path, false, "")
	}
}

// chainCancelBefore: the flag of a cancel that came too early to find its request.
func chainCancelBefore(f *fixture) {
	for victim := range 4 {
		r, w := f.pipe()
		path, file := f.appendFile()
		all := append([]*driver.Request{read(r, 4, driver.CurrentOffset)}, appends(file, 3)...)
		f.cancel(all[victim])
		if !f.chain(all...) {
			f.expect(path, false, "")
			return
		}
		if victim > 0 {
			f.stay(all...)
			f.put(w, "data")
		}
		f.await(all...)
		written := ""
		for _, q := range all[1:] {
			if q.Err == nil {
				written += string(q.Buf)
			}
		}
		f.expect(path, true, written)
		if victim == 0 {
			f.canceled(all...)
		}
	}
}

func chainCancelAll(f *fixture) {
	r, _ := f.pipe()
	path, file := f.appendFile()
	all := append([]*driver.Request{read(r, 4, driver.CurrentOffset)}, appends(file, 3)...)
	if f.chain(all...) {
		f.stay(all...)
		f.d.CancelAll()
		f.canceled(all...)
	}
	f.expect(path, false, "")
}

func chainWaits(f *fixture) {
	r, w := f.pipe()
	path, file := f.appendFile()
	all := append([]*driver.Request{read(r, 4, driver.CurrentOffset)}, appends(file, 3)...)
	chained := f.chain(all...)
	if chained {
		f.stay(all...)
		f.expect(path, true, "")
		f.put(w, "data")
	}
	f.drain()
	f.expect(path, chained, "012")
}

// chainLong: a driver whose queue is too short says so, or finds a way.
func chainLong(f *fixture) {
	path, file := f.appendFile()
	all := appends(file, 60)
	chained := f.chain(all...)
	f.drain()
	want := ""
	for _, r := range all {
		want += string(r.Buf)
	}
	f.expect(path, chained, want)
}

// chainBehind: the queue is nearly full when the chain comes, so that it must not be cut.
func chainBehind(f *fixture) {
	for before := range 9 {
		path, file := f.appendFile()
		for range before {
			f.start(&driver.Request{Kind: driver.Nop, Flags: driver.More})
		}
		chained := f.chain(appends(file, 5)...)
		f.drain()
		f.expect(path, chained, "01234")
	}
}

// chainsBeside: a chain ends where it ends, and the next is not its continuation.
func chainsBeside(f *fixture) {
	var paths []string
	var chained []bool
	for i := range 20 {
		path, file := f.appendFile()
		all := appends(file, 4)
		if i%3 == 0 {
			all = slices.Insert(all, 2, read(badHandle, 1, 0))
		}
		paths, chained = append(paths, path), append(chained, f.chain(all...))
		f.start(&driver.Request{Kind: driver.Nop})
	}
	f.drain()
	for i, path := range paths {
		want := "0123"
		if i%3 == 0 {
			want = "01"
		}
		f.expect(path, chained[i], want)
	}
}
